package io.epidote.router.request;

import io.epidote.engine.error.EpidoteException;
import io.epidote.proto.stage.v1.MediaSpan;
import java.util.List;

/**
 * What the router knows of the model that the cluster serves: how a chat becomes tokens and tokens
 * become text. It holds no weights. Thread-safe.
 */
public interface ServedModel {
  String name();

  /** The checkpoint's content hash: every node must report the same. */
  String fingerprint();

  /** Longest prompt and answer together, in tokens. */
  int contextTokens();

  int mediaTokensPerTile();

  int vocabulary();

  /** What a request may have in it, text first. */
  List<Input> inputs();

  /** Whether a token ends an answer, unless the request goes on after it. */
  boolean isEnd(int tokenId);

  /**
   * Looks at a media item's header and plans its tiles.
   *
   * @throws EpidoteException when it is nothing that can be read or that the model takes, or is
   *     over a limit
   */
  Media plan(MediaInput input);

  /**
   * Renders and tokenises; each tile gets a run of placeholder tokens.
   *
   * @throws EpidoteException when the media do not match the placeholders
   */
  Prompt prompt(PromptInput input, List<Media> media);

  /** Starts to turn an answer's tokens into text. */
  TokenText newText();

  /** The text of tokens, special ones by their names. */
  String text(int[] tokenIds);

  /** One token alone, for reports of log-probabilities. */
  String tokenText(int tokenId);

  /** A kind of input. */
  enum Input {
    TEXT("text"),
    IMAGE("pictures"),
    VIDEO("videos");

    private final String plural;

    Input(String plural) {
      this.plural = plural;
    }

    /** For messages. */
    public String plural() {
      return plural;
    }
  }

  /** A media item whose tiles are planned. */
  interface Media {
    int tiles();
  }

  /**
   * @param spans in order of position
   */
  record Prompt(int[] tokenIds, List<MediaSpan> spans, int mediaTokens) {
    public Prompt {
      spans = List.copyOf(spans);
    }
  }

  /** Turns tokens into text, holding back characters that are not complete. For one thread. */
  interface TokenText {
    /** The text that became complete with this token, often empty or several characters. */
    String append(int tokenId);

    /** What was held back, when no token follows. */
    String flush();
  }
}
