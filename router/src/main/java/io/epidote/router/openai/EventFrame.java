package io.epidote.router.openai;

import com.fasterxml.jackson.core.io.JsonStringEncoder;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * An event without its text. All but the text of an answer's chunks is the same; it is written
 * once.
 */
record EventFrame(byte[] before, byte[] after) {
  /**
   * @param field of the text, which is empty
   */
  static EventFrame of(ObjectNode empty, String field) {
    String quoted = "\"%s\":\"\"".formatted(field);
    String whole = new String(AnswerParts.event(empty), StandardCharsets.UTF_8);
    int text = whole.indexOf(quoted) + quoted.length() - 1;
    return new EventFrame(
        whole.substring(0, text).getBytes(StandardCharsets.UTF_8),
        whole.substring(text).getBytes(StandardCharsets.UTF_8));
  }

  byte[] with(String text) {
    StringBuilder quoted = new StringBuilder(text.length() + 8);
    JsonStringEncoder.getInstance().quoteAsString(text, quoted);
    byte[] middle = quoted.toString().getBytes(StandardCharsets.UTF_8);
    byte[] whole = Arrays.copyOf(before, before.length + middle.length + after.length);
    System.arraycopy(middle, 0, whole, before.length, middle.length);
    System.arraycopy(after, 0, whole, before.length + middle.length, after.length);
    return whole;
  }
}
