package io.epidote.router.request;

import java.util.ArrayList;
import java.util.List;

/** What the caller wants answered, before the model's template and tokenizer. */
public sealed interface PromptInput {

  /** The media in the order in which they appear. */
  List<MediaInput> media();

  /** Of its text. */
  int characters();

  /** Turns for the model's chat template. */
  record Chat(List<Turn> turns) implements PromptInput {
    public Chat {
      turns = List.copyOf(turns);
    }

    @Override
    public List<MediaInput> media() {
      List<MediaInput> media = new ArrayList<>();
      for (Turn turn : turns) {
        for (Content part : turn.content()) {
          if (part instanceof Media(MediaInput input)) {
            media.add(input);
          }
        }
      }
      return media;
    }

    @Override
    public int characters() {
      int characters = 0;
      for (Turn turn : turns) {
        for (Content part : turn.content()) {
          characters += part instanceof Text(String text) ? text.length() : 0;
        }
      }
      return characters;
    }
  }

  /**
   * Text that is used as it is, with an {@code <image>} placeholder for each picture and a {@code
   * <video>} for each video.
   */
  record Plain(String text, List<MediaInput> media) implements PromptInput {
    public Plain {
      media = List.copyOf(media);
    }

    @Override
    public int characters() {
      return text.length();
    }
  }

  /**
   * Tokens that are used as they are; none of them may stand for media.
   *
   * @param ids in the model's vocabulary
   */
  record Tokens(List<Integer> ids) implements PromptInput {
    /** A token's usual length. */
    private static final int CHARACTERS = 4;

    public Tokens {
      ids = List.copyOf(ids);
    }

    @Override
    public List<MediaInput> media() {
      return List.of();
    }

    @Override
    public int characters() {
      return CHARACTERS * ids.size();
    }
  }

  /**
   * @param role user, assistant or system
   */
  record Turn(String role, List<Content> content) {
    public Turn {
      content = List.copyOf(content);
    }
  }

  /** A piece of a turn. */
  sealed interface Content {}

  record Text(String text) implements Content {}

  record Media(MediaInput input) implements Content {}
}
