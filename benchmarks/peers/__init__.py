"""The paper's network in PyTorch, as its users would write it: what hanjax's speed is measured against.

``decode`` lays a batch's samples out as dense tensors. From these, ``padded`` computes every place of every group,
whether something is there or not, and ``packed`` only what is there, with PyTorch's packed sequences. Neither computes
equal rows once for all who share them: that is hanjax's own idea. Both compute hanjax's function, which a test holds.
"""
