package io.epidote.router.request;

import com.google.protobuf.ByteString;
import java.util.List;

/** What the caller wants answered, before the model's template and tokenizer. */
public sealed interface PromptInput {

  /** The media in the order in which they appear. */
  List<ByteString> media();

  /** Turns for the model's chat template. */
  record Chat(List<Turn> turns) implements PromptInput {
    public Chat {
      turns = List.copyOf(turns);
    }

    @Override
    public List<ByteString> media() {
      return turns.stream()
          .flatMap(turn -> turn.content().stream())
          .filter(Media.class::isInstance)
          .map(part -> ((Media) part).data())
          .toList();
    }
  }

  /** Text that is used as it is, with an {@code <image>} placeholder for each media item. */
  record Plain(String text, List<ByteString> media) implements PromptInput {
    public Plain {
      media = List.copyOf(media);
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

  /** The client's file as it was sent. */
  record Media(ByteString data) implements Content {}
}
