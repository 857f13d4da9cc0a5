package io.epidote.scenes;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.function.Predicate;

/**
 * Asks about scenes, each question in a few phrasings, only where the answer is unambiguous. The
 * random stream is the generator's.
 */
public final class Questions {
  private final SceneGenerator generator;

  /** Questions that name only pairs the generator may show. */
  public Questions(SceneGenerator generator) {
    this.generator = generator;
  }

  /**
   * A question about one scene; empty when this scene has no unambiguous target.
   *
   * @throws IllegalArgumentException for {@link TaskKind#WHICH}, which takes two scenes
   */
  public Optional<Question> ask(TaskKind kind, Scene scene) {
    return switch (kind) {
      case DESCRIBE -> Optional.of(describe(scene));
      case COUNT -> Optional.of(count(scene));
      case COLOR -> color(scene);
      case SHAPE -> shape(scene);
      case EXISTS -> Optional.of(exists(scene));
      case WHERE -> where(scene);
      case WHICH -> throw new IllegalArgumentException("WHICH asks about two scenes: use which()");
    };
  }

  /** Which of two pictures shows the pair. */
  public Question which(Scene first, Scene second, Pair pair) {
    String target = pair.withArticle();
    String text =
        any(
            "which picture has " + target + "?",
            "which picture has " + target + "?",
            "which picture shows " + target + "?",
            "which image has " + target + "?",
            "in which picture is " + target + "?");
    boolean one = first.shows(pair);
    boolean two = second.shows(pair);
    String answer = one && two ? "both" : one ? "picture 1" : two ? "picture 2" : "none";
    return new Question(TaskKind.WHICH, text, answer);
  }

  private Question describe(Scene scene) {
    String text =
        any(
            "describe the picture.",
            "describe the picture.",
            "describe the picture",
            "describe this picture.",
            "describe the image.",
            "what is in the picture?",
            "what do you see?");
    return new Question(TaskKind.DESCRIBE, text, scene.description());
  }

  private Question count(Scene scene) {
    String things;
    Predicate<PlacedShape> counted;
    switch (next(3)) {
      case 0 -> {
        things = "shapes";
        counted = s -> true;
      }
      case 1 -> {
        // Half of the time a color that is there, otherwise most answers would be 0.
        ShapeColor color = next(2) == 0 ? any(scene.shapes()).color() : any(ShapeColor.values());
        things = color.word() + " shapes";
        counted = s -> s.color() == color;
      }
      default -> {
        ShapeKind kind = next(2) == 0 ? any(scene.shapes()).kind() : any(ShapeKind.values());
        things = kind.plural();
        counted = s -> s.kind() == kind;
      }
    }
    String text =
        any(
            "how many " + things + " are there?",
            "how many " + things + " are there?",
            "how many " + things + " are in the picture?",
            "how many " + things + " do you see?",
            "count the " + things + ".");
    long answer = scene.shapes().stream().filter(counted).count();
    return new Question(TaskKind.COUNT, text, Long.toString(answer));
  }

  private Optional<Question> color(Scene scene) {
    PlacedShape target = any(scene.shapes());
    String thing;
    if (next(2) == 0) {
      thing = "the shape " + target.cell().phrase();
    } else if (unique(scene, s -> s.kind() == target.kind())) {
      thing = "the " + target.kind().word();
    } else {
      return Optional.empty();
    }
    String text =
        any(
            "what color is " + thing + "?",
            "what color is " + thing + "?",
            "which color is " + thing + "?",
            "what is the color of " + thing + "?");
    return Optional.of(new Question(TaskKind.COLOR, text, target.color().word()));
  }

  private Optional<Question> shape(Scene scene) {
    PlacedShape target = any(scene.shapes());
    String text;
    if (next(2) == 0) {
      String place = target.cell().phrase();
      text = any("which shape is " + place + "?", "what shape is " + place + "?");
    } else if (unique(scene, s -> s.color() == target.color())) {
      String color = target.color().word();
      text =
          any(
              "what shape is the " + color + " one?",
              "which shape is " + color + "?",
              "what shape is " + color + "?");
    } else {
      return Optional.empty();
    }
    return Optional.of(new Question(TaskKind.SHAPE, text, target.kind().word()));
  }

  private Question exists(Scene scene) {
    Pair pair = next(2) == 0 ? any(scene.shapes()).pair() : absent(scene);
    String target = pair.withArticle();
    String text =
        any(
            "is there " + target + "?",
            "is there " + target + "?",
            "is there " + target + " in the picture?",
            "do you see " + target + "?");
    return new Question(TaskKind.EXISTS, text, scene.shows(pair) ? "yes" : "no");
  }

  /** A pair that is not there but, mostly, has a color or a kind that is: the hard case. */
  private Pair absent(Scene scene) {
    for (int i = 0; i < 20; i++) {
      Pair random = generator.pair();
      PlacedShape one = any(scene.shapes());
      PlacedShape two = any(scene.shapes());
      Pair pair =
          switch (next(4)) {
            case 0 -> new Pair(one.color(), random.kind());
            case 1 -> new Pair(random.color(), one.kind());
            case 2 -> new Pair(one.color(), two.kind());
            default -> random;
          };
      if (generator.allows(pair) && !scene.shows(pair)) {
        return pair;
      }
    }
    List<Pair> pairs = new ArrayList<>();
    for (ShapeColor color : ShapeColor.values()) {
      for (ShapeKind kind : ShapeKind.values()) {
        pairs.add(new Pair(color, kind));
      }
    }
    pairs.removeIf(p -> scene.shows(p) || !generator.allows(p));
    return any(pairs);
  }

  private Optional<Question> where(Scene scene) {
    PlacedShape target = any(scene.shapes());
    String thing;
    if (next(3) == 0 && unique(scene, s -> s.kind() == target.kind())) {
      thing = "the " + target.kind().word();
    } else if (unique(scene, s -> s.pair().equals(target.pair()))) {
      thing = "the " + target.pair().words();
    } else {
      return Optional.empty();
    }
    String text =
        any(
            "where is " + thing + "?",
            "where is " + thing + "?",
            "where is " + thing + " in the picture?",
            "where do you see " + thing + "?");
    return Optional.of(new Question(TaskKind.WHERE, text, target.cell().words()));
  }

  private static boolean unique(Scene scene, Predicate<PlacedShape> test) {
    return scene.shapes().stream().filter(test).count() == 1;
  }

  private int next(int bound) {
    return generator.random().nextInt(bound);
  }

  @SafeVarargs
  private <T> T any(T... values) {
    return values[next(values.length)];
  }

  private <T> T any(List<T> values) {
    return values.get(next(values.size()));
  }

  /** Every word and mark that questions and answers can use, for building a vocabulary. */
  public static List<String> words() {
    List<String> words = new ArrayList<>();
    Collections.addAll(
        words,
        ("describe the this picture image what is in do you see how many are there count shapes shape color which"
                + " of one where has shows an a at on top left right center bottom yes no both none 0 1 2 3 4")
            .split(" "));
    Arrays.stream(ShapeColor.values()).map(ShapeColor::word).forEach(words::add);
    for (ShapeKind kind : ShapeKind.values()) {
      words.add(kind.word());
      words.add(kind.plural());
    }
    return List.copyOf(words);
  }
}
