package io.epidote.engine.image;

/**
 * What a picture's header says.
 *
 * @param format {@code PNG}, {@code JPEG}, {@code GIF}, {@code BMP} or {@code WebP}
 */
public record ImageInfo(String format, int width, int height) {}
