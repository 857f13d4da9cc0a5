package io.epidote.scenes;

/**
 * What is behind the shapes: a slightly tinted gray with a gradient and noise.
 *
 * @param red channel at the center, 0 to 255
 * @param green channel at the center
 * @param blue channel at the center
 * @param slopeX change of brightness from left to right
 * @param slopeY change of brightness from top to bottom
 * @param noise standard deviation of the noise, over the shapes too
 * @param noiseSeed seed of the noise
 */
public record Ground(
    int red, int green, int blue, double slopeX, double slopeY, double noise, long noiseSeed) {}
