package io.epidote.engine.text;

import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import io.epidote.engine.image.MediaPlan;
import io.epidote.engine.image.TilePlan;
import io.epidote.engine.image.VideoPlan;
import java.util.List;

/**
 * Idefics3's and SmolVLM's form: markers around tiles, and words around the frames of a video.
 *
 * @param tokenizer to look up the markers of a grid's cells
 * @param tile the image tokens of one tile
 */
record Idefics3Markup(Tokenizer tokenizer, String tile) implements MediaMarkup {
  private static final String FAKE = "<fake_token_around_image>";
  private static final String GLOBAL = "<global-img>";
  private static final int MINUTE = 60;
  private static final int HOUR = 3600;

  @Override
  public List<String> markers() {
    return List.of(IMAGE, FAKE, GLOBAL);
  }

  @Override
  public boolean begins() {
    return false;
  }

  @Override
  public void append(StringBuilder text, MediaPlan plan) {
    switch (plan) {
      case TilePlan picture -> appendPicture(text, picture);
      case VideoPlan video -> appendVideo(text, video);
    }
  }

  private void appendPicture(StringBuilder text, TilePlan picture) {
    if (picture.isGrid()) {
      for (int row = 1; row <= picture.rows(); row++) {
        for (int column = 1; column <= picture.columns(); column++) {
          text.append(FAKE).append(cellMarker(row, column)).append(tile);
        }
        text.append('\n');
      }
      text.append('\n');
    }
    appendWhole(text);
  }

  /** The words on which SmolVLM2 was trained. */
  private void appendVideo(StringBuilder text, VideoPlan video) {
    int duration = (int) video.duration();
    text.append(
        "You are provided the following series of %s frames from a %d:%02d:%02d [H:MM:SS] video.\n"
            .formatted(
                NumberWords.of(video.tiles()),
                duration / HOUR,
                duration / MINUTE % MINUTE,
                duration % MINUTE));
    for (double second : video.seconds()) {
      text.append(
          "\nFrame from %02d:%02d:".formatted((int) second / MINUTE, (int) second % MINUTE));
      appendWhole(text);
    }
    text.append("\n\n");
  }

  private void appendWhole(StringBuilder text) {
    text.append(FAKE).append(GLOBAL).append(tile).append(FAKE);
  }

  private String cellMarker(int row, int column) {
    String marker = "<row_%d_col_%d>".formatted(row, column);
    if (tokenizer.id(marker) < 0) {
      throw new BadCheckpoint(
          "tokenizer.json has no token %s, but preprocessor_config.json lets pictures be cut that far"
              .formatted(marker));
    }
    return marker;
  }
}
