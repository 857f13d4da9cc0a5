package io.epidote.engine.checkpoint;

/**
 * One convolution of a convolutional stem: square kernel, with a bias, padded by half the kernel so
 * that only the stride makes the picture smaller.
 */
public record ConvLayer(int outChannels, int kernelSize, int stride) {}
