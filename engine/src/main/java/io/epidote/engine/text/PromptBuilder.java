package io.epidote.engine.text;

import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.image.MediaPlan;
import io.epidote.engine.image.VideoPlan;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Puts the tiles of pictures and videos into a rendered conversation: each {@code <image>} and
 * {@code <video>} becomes the text of its item in the model's form. The text is tokenised as a
 * whole, as Hugging Face does, because tokens may span what stands between two markers. Safe for
 * use by several threads.
 */
public final class PromptBuilder {
  private static final String IMAGE = MediaMarkup.IMAGE;
  private static final Pattern PICTURES = Pattern.compile(IMAGE);
  private static final Pattern PICTURES_AND_VIDEOS = Pattern.compile(IMAGE + "|" + Part.VIDEO);

  private final ModelConfig config;
  private final Tokenizer tokenizer;
  private final Optional<MediaMarkup> markup;

  private PromptBuilder(ModelConfig config, Tokenizer tokenizer, Optional<MediaMarkup> markup) {
    this.config = config;
    this.tokenizer = tokenizer;
    this.markup = markup;
  }

  /**
   * Checks that the tokenizer has the markers that the model's pictures need, and that the folder's
   * processor counts image tokens as the model does.
   *
   * @throws BadCheckpoint when it does not
   */
  public static PromptBuilder open(Path folder, ModelConfig config, Tokenizer tokenizer) {
    Optional<MediaMarkup> markup = config.vision().map(vision -> MediaMarkup.of(config, tokenizer));
    markup.ifPresent(media -> check(folder, config, tokenizer, media.markers()));
    config.vision().ifPresent(vision -> ProcessorConfig.check(folder, config, vision));
    return new PromptBuilder(config, tokenizer, markup);
  }

  private static void check(
      Path folder, ModelConfig config, Tokenizer tokenizer, List<String> markers) {
    for (String token : markers) {
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

  /**
   * Builds the prompt.
   *
   * @param rendered the conversation as the chat template wrote it
   * @param media pictures in the order of their placeholders, likewise videos
   * @throws InvalidRequest when there are not as many placeholders as media
   */
  public Prompt build(String rendered, List<? extends MediaPlan> media) {
    if (markup.isEmpty()) {
      if (!media.isEmpty()) {
        throw new InvalidRequest(
            "the request has %d pictures, but the model takes text only; leave them out or choose a"
                    .formatted(media.size())
                + " model with a vision tower");
      }
      return new Prompt(tokenizer.encode(rendered), List.of(), 0);
    }
    Expansion expansion = expand(rendered, media, markup.get());
    int[] ids =
        markup.get().begins()
            ? tokenizer.encodeFromStart(expansion.text())
            : tokenizer.encode(expansion.text());
    List<Span> spans = findSpans(ids, media, expansion.items());
    return new Prompt(ids, spans, spans.size() * config.tileTokens());
  }

  /**
   * A text with its media.
   *
   * @param items of the media, in the order of their placeholders
   */
  private record Expansion(String text, List<Integer> items) {}

  private static Expansion expand(
      String rendered, List<? extends MediaPlan> media, MediaMarkup markup) {
    Deque<Integer> pictures = new ArrayDeque<>();
    Deque<Integer> videos = new ArrayDeque<>();
    for (int item = 0; item < media.size(); item++) {
      (media.get(item) instanceof VideoPlan ? videos : pictures).add(item);
    }
    // Without videos the word is text like any other.
    Pattern placeholder = videos.isEmpty() ? PICTURES : PICTURES_AND_VIDEOS;
    checkCount(rendered, IMAGE, "picture", pictures.size());
    if (!videos.isEmpty()) {
      checkCount(rendered, Part.VIDEO, "video", videos.size());
    }
    StringBuilder text = new StringBuilder();
    List<Integer> items = new ArrayList<>();
    Matcher matcher = placeholder.matcher(rendered);
    int behind = 0;
    while (matcher.find()) {
      text.append(rendered, behind, matcher.start());
      int item = (matcher.group().equals(IMAGE) ? pictures : videos).remove();
      items.add(item);
      markup.append(text, media.get(item));
      behind = matcher.end();
    }
    return new Expansion(text.append(rendered, behind, rendered.length()).toString(), items);
  }

  private static void checkCount(String rendered, String placeholder, String what, int items) {
    int placeholders = rendered.split(placeholder, -1).length - 1;
    if (placeholders != items) {
      throw new InvalidRequest(
          "the conversation has %d %s placeholders, but the request has %d %ss; give one %s for each, and write no %s into the text itself"
              .formatted(placeholders, placeholder, items, what, what, placeholder));
    }
  }

  /**
   * Image tokens stand in the order of the tiles, so counting them off places every span, however
   * close together pictures are. One too many means that the text made an image token in another
   * way than by the placeholder.
   */
  private List<Span> findSpans(int[] ids, List<? extends MediaPlan> media, List<Integer> items) {
    List<Span> spans = new ArrayList<>();
    int position = 0;
    for (int item : items) {
      for (int tile = 0; tile < media.get(item).tiles(); tile++) {
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
