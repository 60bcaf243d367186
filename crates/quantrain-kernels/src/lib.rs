//! CPU kernels on slices, forward and backward, each beside the plain reference it is tested against
