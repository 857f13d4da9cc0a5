package io.epidote.cli;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.proto.v1.Stage;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * The stages that one node holds.
 *
 * @param name unique in its cluster
 */
record NodeSpec(String name, Set<Stage> stages) {

  /** Reads a list of nodes such as {@code E,P,D}, {@code EP,D,D} or {@code EPD}. */
  static List<NodeSpec> parseList(String text) {
    List<NodeSpec> nodes = new ArrayList<>();
    for (String word : text.split(",", -1)) {
      Set<Stage> stages = EnumSet.noneOf(Stage.class);
      for (char letter : word.strip().toUpperCase(Locale.ROOT).toCharArray()) {
        stages.add(
            switch (letter) {
              case 'E' -> Stage.STAGE_ENCODE;
              case 'P' -> Stage.STAGE_PREFILL;
              case 'D' -> Stage.STAGE_DECODE;
              default ->
                  throw new InvalidRequest(
                      "'%s' in '%s' is not a stage; expected nodes as letters of E (encode), P (prefill) and D (decode), for example E,P,D or EPD"
                          .formatted(letter, text));
            });
      }
      if (stages.isEmpty()) {
        throw new InvalidRequest(
            "'%s' names a node without stages; expected for example E,P,D or EPD".formatted(text));
      }
      nodes.add(new NodeSpec(nameOf(stages, nodes), stages));
    }
    return nodes;
  }

  private static String nameOf(Set<Stage> stages, List<NodeSpec> before) {
    String base =
        stages.size() == 3
            ? "node"
            : stages.stream().map(NodeSpec::word).collect(Collectors.joining("-"));
    long same = before.stream().filter(node -> node.stages().equals(stages)).count();
    return base + "-" + same;
  }

  /**
   * Reads {@code --stages encode,prefill,decode}, with commas or, as in llm-d's role labels,
   * hyphens between them; {@code both} is llm-d's older word for prefill and decode.
   */
  static Set<Stage> parseStages(String text) {
    if (text.strip().equalsIgnoreCase("both")) {
      return EnumSet.of(Stage.STAGE_PREFILL, Stage.STAGE_DECODE);
    }
    Set<Stage> stages = EnumSet.noneOf(Stage.class);
    for (String word : text.split("[,-]", -1)) {
      stages.add(
          Arrays.stream(Stage.values())
              .filter(stage -> word(stage).equals(word.strip().toLowerCase(Locale.ROOT)))
              .findFirst()
              .filter(stage -> stage != Stage.STAGE_UNSPECIFIED)
              .orElseThrow(() ->
                  new InvalidRequest(
                      "'%s' is not a stage; expected some of encode,prefill,decode"
                          .formatted(word.strip()))));
    }
    return stages;
  }

  /** The stage's word: encode, prefill or decode. */
  static String word(Stage stage) {
    return stage.name().replace("STAGE_", "").toLowerCase(Locale.ROOT);
  }

  String stageWords() {
    return stages.stream().map(NodeSpec::word).collect(Collectors.joining(","));
  }
}
