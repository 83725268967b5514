"""One page about a run on a data set, for a reader who has never seen the code.

``hanjax.api.reporting.write_report`` gathers the material and writes the page; what is here turns material into HTML,
from which nothing is loaded over a network.
"""
