"""Joins the stages: watch → backlog → inspection → record. Owns loops, signals and shutdown order."""
