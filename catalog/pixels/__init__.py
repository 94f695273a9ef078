"""Everything that knows image bytes: structure and tags, rasters, digests, and the decode worker.

Imported only by the worker process: the parent must survive whatever a decoder does.
"""
