"""Logs that outgrow one machine: Spark deals and encodes the events, and models are trained and score shard by shard.

    from hanjax.spark import encode_spark

    shards = encode_spark(
        spark,                                  # a SparkSession, whichever cluster it speaks to
        events="/lake/crm/events",              # Spark DataFrames, or folders of Parquet
        individuals="/lake/crm/individuals",
        accounts="/lake/crm/accounts",
        config=hanjax.Config.recommended(),
        out="/lake/hanjax/training",
        shards=256,
    )
    run = hanjax.fit(shards, "/lake/hanjax/run", config=hanjax.Config.recommended())

    newest = encode_spark(spark, events=..., individuals=..., accounts=..., config=run.config.panel,
                          encoding=run.encoding, out="/lake/hanjax/newest", shards=256)
    hanjax.score(run, newest, out="/lake/hanjax/scores")

**What happens.** Spark deals the rows of every table to shards by a hash of the account's id, the only large shuffle.
Then each shard is checked and encoded by the same functions that encode tables in memory, one shard a task, and what
has to be known of all accounts (vocabulary, levels, scales, the calendar, the end of the log, the split) is put
together on the driver. The shards together are the panel that one machine would have made. A worker needs memory for
one shard: choose `shards` so that each has one to four million events, and count half a gigabyte for a million.

**What is needed.** Java 17 or later on the driver and the executors; this package with the extra `spark`
(`pip install "hanjax[spark]"`) in the Python that the executors run; and a folder `out` that driver, executors and the
machines that train all see under the same path: NFS, Lustre, EFS, FSx, Azure Files, Google Filestore, a Databricks
volume. The tables may lie wherever Spark reads. Times in Parquet have to be microseconds, since Spark reads no others.

**On one machine** (a log that fits the disk, but not the memory):

    spark = SparkSession.builder.master("local[*]").config("spark.driver.memory", "4g").getOrCreate()

**With spark-submit**, on YARN, Kubernetes or a cluster of Spark's own; the environment goes along as an archive:

    python -m venv environment && environment/bin/pip install "hanjax[spark]" venv-pack
    environment/bin/venv-pack -p environment -o environment.tar.gz
    spark-submit --master yarn --deploy-mode cluster --archives environment.tar.gz#environment \\
        --conf spark.pyspark.python=./environment/bin/python \\
        --conf spark.executor.memory=4g --conf spark.executor.memoryOverhead=6g --executor-cores 2 encode.py

Python's memory is the overhead, not the executor's own: for each core as much as one shard takes. Tasks are cut so
that one has one shard; a failed one is run again, and writes the same shard.

**On Databricks**: a runtime with Spark 4; `%pip install "hanjax[spark]"` in the notebook, or a library of the cluster;
`spark` is there already, and `out` is a volume, such as `/Volumes/catalog/schema/hanjax/training`.

**Training and scoring** read the folder, on one machine or on many, each of which runs the same command:

    jax.distributed.initialize()                # on Slurm, Kubernetes and Cloud TPU it finds the others by itself
    hanjax.fit("/lake/hanjax/training", "/lake/hanjax/run", config=config, devices=None)

Every process reads every shard from the shared folder and computes its part of each step, as it does for a panel in
memory. The next shard is read while one is learned from, so two are in memory at any time, however many there are. An
interrupted training goes on after the last whole epoch with `resume=True`. To score, the processes deal the
shards among them, and all write to one folder:

    hanjax.score("/lake/hanjax/run", "/lake/hanjax/newest", out="/lake/hanjax/scores")
"""

from hanjax.spark.encode import each_on, encode_spark

__all__ = ["each_on", "encode_spark"]
