package io.epidote.router;

import io.epidote.engine.error.EpidoteException;
import io.epidote.proto.stage.v1.MediaSpan;
import io.epidote.router.request.MediaInput;
import io.epidote.router.request.PromptInput;
import io.epidote.router.request.ServedModel;
import java.util.ArrayList;
import java.util.List;

/**
 * A model whose tokens are characters. A picture is the text {@code tiles:3}; each of its tiles is
 * two placeholder tokens.
 */
public final class TestModel implements ServedModel {
  static final String NAME = "test-model";
  static final String FINGERPRINT = "f00d";
  static final int CONTEXT = 200;
  static final int TILE_TOKENS = 2;
  static final int END = 0;

  record Picture(int tiles) implements Media {}

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public String fingerprint() {
    return FINGERPRINT;
  }

  @Override
  public int contextTokens() {
    return CONTEXT;
  }

  @Override
  public int mediaTokensPerTile() {
    return TILE_TOKENS;
  }

  @Override
  public int vocabulary() {
    return 256;
  }

  @Override
  public List<Input> inputs() {
    return List.of(Input.TEXT, Input.IMAGE);
  }

  @Override
  public String text(int[] tokenIds) {
    return new String(tokenIds, 0, tokenIds.length);
  }

  @Override
  public boolean isEnd(int tokenId) {
    return tokenId == END;
  }

  @Override
  public Media plan(MediaInput input) {
    String text = input.data().toStringUtf8();
    if (!text.startsWith("tiles:")) {
      throw new EpidoteException.InvalidRequest(
          "not an image; expected PNG, JPEG, GIF, BMP or WebP");
    }
    int tiles = Integer.parseInt(text.substring(6));
    if (tiles > 50) {
      throw new EpidoteException.TooLarge("too many pixels");
    }
    return new Picture(tiles);
  }

  @Override
  public Prompt prompt(PromptInput input, List<Media> media) {
    List<Integer> tokens = new ArrayList<>();
    List<MediaSpan> spans = new ArrayList<>();
    String text =
        switch (input) {
          case PromptInput.Plain plain -> plain.text();
          case PromptInput.Tokens given ->
              text(given.ids().stream().mapToInt(Integer::intValue).toArray());
          case PromptInput.Chat chat -> {
            StringBuilder rendered = new StringBuilder();
            for (PromptInput.Turn turn : chat.turns()) {
              for (PromptInput.Content content : turn.content()) {
                rendered.append(
                    switch (content) {
                      case PromptInput.Text t -> t.text();
                      case PromptInput.Media m -> "<image>";
                    });
              }
            }
            yield rendered.toString();
          }
        };
    String[] pieces = text.split("<image>", -1);
    if (pieces.length - 1 != media.size()) {
      throw new EpidoteException.InvalidRequest(
          "%d placeholders for %d pictures".formatted(pieces.length - 1, media.size()));
    }
    for (int i = 0; i < pieces.length; i++) {
      pieces[i].chars().forEach(tokens::add);
      for (int tile = 0; i < media.size() && tile < media.get(i).tiles(); tile++) {
        spans.add(
            MediaSpan.newBuilder()
                .setItem(i)
                .setTile(tile)
                .setPosition(tokens.size())
                .setTokens(TILE_TOKENS)
                .build());
        tokens.addAll(List.of(1, 1));
      }
    }
    return new Prompt(
        tokens.stream().mapToInt(Integer::intValue).toArray(), spans, spans.size() * TILE_TOKENS);
  }

  @Override
  public TokenText newText() {
    return new TokenText() {
      @Override
      public String append(int tokenId) {
        return tokenId == END ? "" : tokenText(tokenId);
      }

      @Override
      public String flush() {
        return "";
      }
    };
  }

  @Override
  public String tokenText(int tokenId) {
    return Character.toString(tokenId);
  }
}
