package io.epidote.engine.text;

import io.epidote.engine.image.MediaPlan;
import java.util.List;

/**
 * LLaVA's form: image tokens and nothing else.
 *
 * @param tile the image tokens of one tile
 */
record LlavaMarkup(String tile) implements MediaMarkup {
  @Override
  public List<String> markers() {
    return List.of(IMAGE);
  }

  @Override
  public boolean begins() {
    return true;
  }

  @Override
  public void append(StringBuilder text, MediaPlan plan) {
    text.repeat(tile, plan.tiles());
  }
}
