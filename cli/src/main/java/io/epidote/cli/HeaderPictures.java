package io.epidote.cli;

import io.epidote.cli.load.PictureFiles;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.SamplingParams;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * Requests for emulated devices that decode no files: pictures of any size in a hundred bytes, each
 * with bytes of its own, so that no cache has seen it. Safe for use by many threads.
 */
final class HeaderPictures {
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

  byte[] picture(int width, int height) {
    synchronized (random) {
      return PictureFiles.header(width, height, random);
    }
  }
}
