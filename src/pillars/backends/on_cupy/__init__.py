"""CuPy on CUDA: the backend in `_backend`, its kernels by name in `_kernels`, a file for each family of them."""
