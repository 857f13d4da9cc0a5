package io.epidote.cli;

import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.SamplingParams;
import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/** Pictures that no cache has seen: coloured rectangles at random places. */
final class FreshPictures {
  private final SplittableRandom random = new SplittableRandom();

  /** A question about that many new pictures of that edge, pixels. */
  GenerateRequest request(int pictures, int edge, int maxTokens) {
    List<byte[]> files =
        IntStream.range(0, pictures).mapToObj(i -> EvalCommand.png(picture(edge, edge))).toList();
    return InferenceClient.question(
        "",
        files,
        "which picture has a red circle?",
        SamplingParams.newBuilder()
            .setTemperature(0)
            .setMaxTokens(maxTokens)
            .setIgnoreEos(true)
            .build());
  }

  BufferedImage picture(int width, int height) {
    BufferedImage picture = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB);
    Graphics2D graphics = picture.createGraphics();
    for (int i = 0; i < 24; i++) {
      graphics.setColor(new Color(random.nextInt(1 << 24)));
      graphics.fillRect(
          random.nextInt(width),
          random.nextInt(height),
          1 + random.nextInt(width / 2),
          1 + random.nextInt(height / 2));
    }
    graphics.dispose();
    return picture;
  }
}
