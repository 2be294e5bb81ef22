"""Policies of other systems, each as its own source or paper has it, on the one engine: one central EDF queue, one SuperNet.

What they have in common with it is told in each docstring, and what they lose by it: none of them was made for subnets that switch in
microseconds.
"""
