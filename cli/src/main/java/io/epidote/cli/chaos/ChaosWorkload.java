package io.epidote.cli.chaos;

import io.epidote.proto.v1.SamplingParams;
import io.epidote.scenes.SceneSet;
import io.epidote.scenes.Task;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import javax.imageio.ImageIO;

/**
 * Distinct requests of every kind: one to three pictures of scenes and questions about them, and
 * text alone; greedy and seeded; short answers and long ones; over gRPC and over HTTP.
 */
final class ChaosWorkload {
  /** Answers are to last, so that faults find them at work; with pictures the context is fuller. */
  private static final int[] TOKENS_WITH_PICTURES = {32, 96, 192, 256};

  private static final int[] TOKENS_OF_TEXT = {48, 400};

  private ChaosWorkload() {}

  /**
   * @param count of requests; 12 or more have all kinds
   */
  static List<ChaosRequest> requests(int count, long seed) {
    List<Task> tasks = SceneSet.heldOut(seed).limit(count).toList();
    List<ChaosRequest> requests = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      boolean text = i % 4 == 3;
      List<byte[]> pictures = text ? List.of() : pictures(tasks, i);
      int tokens =
          text
              ? TOKENS_OF_TEXT[i / 4 % TOKENS_OF_TEXT.length]
              : TOKENS_WITH_PICTURES[i % TOKENS_WITH_PICTURES.length];
      SamplingParams.Builder sampling =
          SamplingParams.newBuilder().setMaxTokens(tokens).setIgnoreEos(true);
      if (i % 3 == 2) {
        sampling.setTemperature(1.2f).setTopP(0.95f).setSeed(seed * 1000 + i);
      } else {
        sampling.setTemperature(0);
      }
      requests.add(
          new ChaosRequest(
              i,
              pictures,
              text ? "what is left to say of " + tasks.get(i).question() : tasks.get(i).question(),
              sampling.build(),
              i / 2 % 2 == 1));
    }
    return requests;
  }

  private static List<byte[]> pictures(List<Task> tasks, int first) {
    List<BufferedImage> pictures = new ArrayList<>();
    for (int j = 0; pictures.size() <= first % 3; j++) {
      pictures.addAll(tasks.get((first + j) % tasks.size()).pictures());
    }
    return pictures.stream().limit(first % 3 + 1).map(ChaosWorkload::png).toList();
  }

  private static byte[] png(BufferedImage picture) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try {
      ImageIO.write(picture, "png", bytes);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return bytes.toByteArray();
  }

  /**
   * The same picture in other bytes, which no cache knows: what follows a PNG's end is not read.
   */
  static byte[] fresh(byte[] png, long number) {
    return ByteBuffer.allocate(png.length + Long.BYTES).put(png).putLong(number).array();
  }
}
