package io.epidote.cli.load;

import java.util.List;
import java.util.OptionalDouble;
import org.jspecify.annotations.Nullable;

/**
 * One request of a workload, in no server's own form.
 *
 * @param pictures files (JPEG or PNG), in order, before the text
 * @param text of the prompt
 * @param tokenIds of the prompt, for servers that take ids; empty where only the text is known
 * @param outputTokens of the answer; 0 leaves its end to the model
 * @param phase of the workload it belongs to, for reports
 * @param atSeconds when it arrives, from the start of a trace; empty where arrivals are made up
 * @param body JSON object to send as it is, in place of all of the above
 */
public record LoadRequest(
    List<byte[]> pictures,
    String text,
    int[] tokenIds,
    int outputTokens,
    String phase,
    OptionalDouble atSeconds,
    @Nullable String body) {

  static LoadRequest of(
      List<byte[]> pictures, String text, int[] tokenIds, int outputTokens, String phase) {
    return new LoadRequest(
        pictures, text, tokenIds, outputTokens, phase, OptionalDouble.empty(), null);
  }
}
