"""Score-based data assimilation: prior, operators, guidance, sampler. Arrays in, arrays out."""
