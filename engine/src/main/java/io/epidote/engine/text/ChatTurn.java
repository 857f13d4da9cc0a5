package io.epidote.engine.text;

import java.util.List;

/**
 * One message of a conversation.
 *
 * @param role {@code system}, {@code user} or {@code assistant}, or what the template knows else
 */
public record ChatTurn(String role, List<Part> parts) {
  public ChatTurn {
    parts = List.copyOf(parts);
  }

  /** A turn of text only. */
  public static ChatTurn of(String role, String text) {
    return new ChatTurn(role, List.of(new Part.Text(text)));
  }
}
