"""`scan`: a checkpoint of any size, one tensor at a time, resumable, in shards, on several workers.

Stands on `formats`, `weights`, `layer`, `results`. A room cannot bear the name of the public function.
"""
