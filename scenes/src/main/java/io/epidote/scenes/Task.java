package io.epidote.scenes;

import java.awt.image.BufferedImage;
import java.util.List;

/**
 * One thing to ask a model: pictures, then the question.
 *
 * @param kind what is asked for
 * @param scenes what the pictures show
 * @param pictures one picture, or two for {@link TaskKind#WHICH}
 * @param question lower case
 * @param answer the exact answer, lower case
 */
public record Task(
    TaskKind kind,
    List<Scene> scenes,
    List<BufferedImage> pictures,
    String question,
    String answer) {
  /** Whether a picture or the question has a pair that training withholds. */
  public boolean hasWithheldPair() {
    return Pair.WITHHELD.stream()
        .anyMatch(p -> question.contains(p.words()) || scenes.stream().anyMatch(s -> s.shows(p)));
  }
}
