from istat.kernels.native.cubes.sampling.residents cimport Sampler
