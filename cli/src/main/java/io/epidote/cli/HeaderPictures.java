package io.epidote.cli;

import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.SamplingParams;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.zip.CRC32;

/**
 * Requests for emulated devices that decode no files: pictures of any size in a hundred bytes, each
 * with bytes of its own, so that no cache has seen it. Safe for use by many threads.
 */
final class HeaderPictures {
  private static final byte[] SIGNATURE = {(byte) 0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  private static final byte[] RGB = {8, 2, 0, 0, 0};

  private final SplittableRandom random;

  HeaderPictures(long seed) {
    this.random = new SplittableRandom(seed);
  }

  /**
   * A request.
   *
   * @param pictures new ones, of that width and height in pixels
   * @param words of the question, a token each for an emulated model
   * @param answer tokens
   */
  GenerateRequest request(int pictures, int width, int height, int words, int answer) {
    List<byte[]> files =
        IntStream.range(0, pictures).mapToObj(_ -> picture(width, height)).toList();
    return InferenceClient.question(
        "",
        files,
        text(words),
        SamplingParams.newBuilder()
            .setTemperature(0)
            .setMaxTokens(answer)
            .setIgnoreEos(true)
            .build());
  }

  String text(int words) {
    return IntStream.range(0, words)
        .mapToObj(_ -> "w" + (16 + next(512)))
        .collect(Collectors.joining(" "));
  }

  private int next(int bound) {
    synchronized (random) {
      return random.nextInt(bound);
    }
  }

  /** A PNG whose header is right and whose pixels are not there. */
  byte[] picture(int width, int height) {
    byte[] noise = new byte[32];
    synchronized (random) {
      random.nextBytes(noise);
    }
    ByteBuffer file = ByteBuffer.allocate(128);
    file.put(SIGNATURE);
    chunk(file, "IHDR", ByteBuffer.allocate(13).putInt(width).putInt(height).put(RGB).array());
    chunk(file, "IDAT", noise);
    chunk(file, "IEND", new byte[0]);
    byte[] bytes = new byte[file.position()];
    file.flip().get(bytes);
    return bytes;
  }

  private static void chunk(ByteBuffer file, String type, byte[] data) {
    byte[] name = type.getBytes(StandardCharsets.US_ASCII);
    CRC32 crc = new CRC32();
    crc.update(name);
    crc.update(data);
    file.putInt(data.length).put(name).put(data).putInt((int) crc.getValue());
  }
}
