package io.epidote.engine.text;

import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.image.TilePlan;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * Puts the tiles of pictures into a rendered conversation, in Idefics3's form: each {@code <image>}
 * becomes the markers and image tokens of its picture's tiles. The text is tokenised as a whole, as
 * Hugging Face does, because tokens may span what stands between two markers. Safe for use by
 * several threads.
 */
public final class PromptBuilder {
  private static final String IMAGE = "<image>";
  private static final String FAKE = "<fake_token_around_image>";
  private static final String GLOBAL = "<global-img>";

  private final ModelConfig config;
  private final Tokenizer tokenizer;
  private final String tileTokens;

  private PromptBuilder(ModelConfig config, Tokenizer tokenizer) {
    this.config = config;
    this.tokenizer = tokenizer;
    this.tileTokens = IMAGE.repeat(config.tileTokens());
  }

  /**
   * Checks that the tokenizer has the markers that the model's pictures need.
   *
   * @throws BadCheckpoint when it does not
   */
  public static PromptBuilder open(Path folder, ModelConfig config, Tokenizer tokenizer) {
    if (config.vision().isPresent()) {
      for (String token : List.of(IMAGE, FAKE, GLOBAL)) {
        if (tokenizer.id(token) < 0) {
          throw new BadCheckpoint(
              "%s has no token %s, which pictures of an %s model need"
                  .formatted(folder.resolve("tokenizer.json"), token, config.modelType()));
        }
      }
      if (tokenizer.id(IMAGE) != config.imageTokenId()) {
        throw new BadCheckpoint(
            "%s gives %s the id %d, but config.json says image_token_id = %d"
                .formatted(
                    folder.resolve("tokenizer.json"),
                    IMAGE,
                    tokenizer.id(IMAGE),
                    config.imageTokenId()));
      }
    }
    return new PromptBuilder(config, tokenizer);
  }

  /**
   * Builds the prompt.
   *
   * @param rendered the conversation as the chat template wrote it
   * @param pictures in the order of their placeholders
   * @throws InvalidRequest when there are not as many placeholders as pictures
   */
  public Prompt build(String rendered, List<TilePlan> pictures) {
    if (config.vision().isEmpty()) {
      if (!pictures.isEmpty()) {
        throw new InvalidRequest(
            "the request has %d pictures, but the model takes text only; leave them out or choose a"
                    .formatted(pictures.size())
                + " model with a vision tower");
      }
      return new Prompt(tokenizer.encode(rendered), List.of(), 0);
    }
    int[] ids = tokenizer.encode(expand(rendered, pictures));
    List<Span> spans = findSpans(ids, pictures);
    return new Prompt(ids, spans, spans.size() * config.tileTokens());
  }

  private String expand(String rendered, List<TilePlan> pictures) {
    String[] texts = rendered.split(IMAGE, -1);
    if (texts.length - 1 != pictures.size()) {
      throw new InvalidRequest(
          "the conversation has %d %s placeholders, but the request has %d pictures; give one picture"
                  .formatted(texts.length - 1, IMAGE, pictures.size())
              + " for each, and write no "
              + IMAGE
              + " into the text itself");
    }
    StringBuilder expanded = new StringBuilder(texts[0]);
    for (int i = 0; i < pictures.size(); i++) {
      appendPicture(expanded, pictures.get(i));
      expanded.append(texts[i + 1]);
    }
    return expanded.toString();
  }

  private void appendPicture(StringBuilder text, TilePlan picture) {
    if (picture.isGrid()) {
      for (int row = 1; row <= picture.rows(); row++) {
        for (int column = 1; column <= picture.columns(); column++) {
          text.append(FAKE).append(cellMarker(row, column)).append(tileTokens);
        }
        text.append('\n');
      }
      text.append('\n');
    }
    text.append(FAKE).append(GLOBAL).append(tileTokens).append(FAKE);
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

  /**
   * Image tokens stand in the order of the tiles, so counting them off places every span, however
   * close together pictures are. One too many means that the text made an image token in another
   * way than by the placeholder.
   */
  private List<Span> findSpans(int[] ids, List<TilePlan> pictures) {
    List<Span> spans = new ArrayList<>();
    int position = 0;
    for (int item = 0; item < pictures.size(); item++) {
      for (int tile = 0; tile < pictures.get(item).tiles(); tile++) {
        position = next(ids, position);
        spans.add(new Span(item, tile, position, config.tileTokens()));
        for (int i = 0; i < config.tileTokens(); i++, position++) {
          if (position == ids.length || ids[position] != config.imageTokenId()) {
            throw strayImageToken();
          }
        }
      }
    }
    if (next(ids, position) < ids.length) {
      throw strayImageToken();
    }
    return spans;
  }

  private int next(int[] ids, int from) {
    int position = from;
    while (position < ids.length && ids[position] != config.imageTokenId()) {
      position++;
    }
    return position;
  }

  private static InvalidRequest strayImageToken() {
    return new InvalidRequest(
        "the text contains the model's image token in another spelling than "
            + IMAGE
            + "; take it out of the text");
  }
}
