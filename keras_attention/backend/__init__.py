"""What the three backends call differently: kernels, loops, programs, gradients.

The only place that names the API of a backend; `ops` are the equations.
"""
