package io.epidote.scenes;

import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/**
 * Asks in the words of an {@link AnswerForm}. A wording is put together from parts, and a hash of
 * it decides which split owns it: held-out tasks are worded as no training task is. The random
 * stream is the generator's.
 */
public final class FormQuestions {
  private static final List<String> POLITE = List.of("", "", "please ", "can you ");

  private static final List<String> FRENCH_VERBS =
      List.of(
          "answer", "reply", "respond", "say it", "tell me", "write", "speak", "give the answer");
  private static final List<String> FRENCH_FORMS =
      List.of(
          "in french",
          "in french",
          "only in french",
          "in the french language",
          "with french words",
          "using french",
          "en français");

  private static final List<String> JSON_VERBS =
      List.of(
          "answer", "reply", "respond", "return", "output", "write", "give the answer", "show it");
  private static final List<String> JSON_FORMS =
      List.of(
          "as json",
          "as json",
          "in json",
          "as a json object",
          "in json format",
          "with json only",
          "only as json",
          "using json");

  private static final List<String> COLORS_ASKED =
      List.of(
          "count the shapes",
          "count all shapes",
          "count everything",
          "how many shapes are there",
          "how many shapes do you see",
          "how many are there",
          "give the number of shapes",
          "tell me the number of shapes",
          "list the number of shapes");
  private static final List<String> COLORS_FORMS =
      List.of(
          "by color",
          "of each color",
          "per color",
          "for each color",
          "for every color",
          "of every color",
          "color by color",
          "sorted by color");

  private static final List<String> RELATIONS_ASKED =
      List.of(
          "where is %s",
          "where do you see %s",
          "where does %s stand",
          "tell me where %s is",
          "what is the position of %s",
          "what is the place of %s");
  private static final List<String> RELATIONS_FORMS =
      List.of(
          "relative to %s",
          "compared to %s",
          "compared with %s",
          "seen from %s",
          "as seen from %s",
          "with respect to %s",
          "in relation to %s");

  private static final List<String> PLACES_ASKED =
      List.of(
          "describe the picture",
          "describe the image",
          "describe the scene",
          "list the shapes",
          "list all shapes",
          "name the shapes",
          "tell me the shapes",
          "show all shapes");
  private static final List<String> PLACES_FORMS =
      List.of(
          "with their places",
          "with places",
          "with all places",
          "and their places",
          "and where they are",
          "and say where each is",
          "with their positions",
          "with the position of each",
          "place by place");

  private final SceneGenerator generator;
  private final Split split;
  private final Questions questions;

  /**
   * Questions in the wordings of one split.
   *
   * @param generator of the scenes
   * @param split of the wordings
   */
  public FormQuestions(SceneGenerator generator, Split split) {
    this.generator = generator;
    this.split = split;
    this.questions = new Questions(generator);
  }

  /**
   * A question about one scene; empty when this scene has no unambiguous target. One in four in
   * French, JSON and with places is worded as the base's: whoever asks an adapter by its name need
   * not say the form again.
   */
  public Optional<Question> ask(AnswerForm form, TaskKind kind, Scene scene) {
    return ask(form, kind, scene, next(4) > 0);
  }

  /**
   * A question about one scene; empty when this scene has no unambiguous target.
   *
   * @param form of the answer
   * @param kind one of the form's kinds
   * @param scene what is asked about
   * @param instructed whether the question tells the form
   */
  public Optional<Question> ask(AnswerForm form, TaskKind kind, Scene scene, boolean instructed) {
    return switch (form) {
      case FRENCH ->
          questions
              .ask(kind, scene)
              .map(q ->
                  new Question(
                      kind,
                      instructed ? instructed(q.text(), FRENCH_VERBS, FRENCH_FORMS) : q.text(),
                      French.answer(q, scene)));
      case JSON ->
          questions
              .ask(kind, scene)
              .map(q ->
                  new Question(
                      kind,
                      instructed ? instructed(q.text(), JSON_VERBS, JSON_FORMS) : q.text(),
                      json(q, scene)));
      case COLORS -> Optional.of(colors(scene));
      case RELATIONS -> relation(scene, false);
      case PLACES -> questions.ask(kind, scene).map(q -> places(scene, q.text(), instructed));
    };
  }

  /**
   * The same wordings with the answer that the base gives to the question in them: what whoever
   * does not know the form says.
   */
  public Optional<Question> plain(AnswerForm form, TaskKind kind, Scene scene) {
    Optional<Question> plain = questions.ask(kind, scene);
    return switch (form) {
      case FRENCH -> plain.map(q -> q.worded(instructed(q.text(), FRENCH_VERBS, FRENCH_FORMS)));
      case JSON -> plain.map(q -> q.worded(instructed(q.text(), JSON_VERBS, JSON_FORMS)));
      case COLORS ->
          Optional.of(
              new Question(kind, colors(scene).text(), Integer.toString(scene.shapes().size())));
      case RELATIONS -> relation(scene, true);
      case PLACES -> plain.map(q -> q.worded(places(scene, q.text(), true).text()));
    };
  }

  private String instructed(String question, List<String> verbs, List<String> forms) {
    while (true) {
      String wording = any(POLITE) + any(verbs) + " " + any(forms);
      int order = next(4);
      if (owns(wording + order / 2)) {
        return switch (order) {
          case 0 -> wording + ": " + question;
          case 1 -> wording + ", " + question;
          case 2 -> question + " " + wording + ".";
          default -> question + " (" + wording + ")";
        };
      }
    }
  }

  private static String json(Question question, Scene scene) {
    String english = question.answer();
    return switch (question.kind()) {
      case DESCRIBE ->
          scene.shapes().stream()
              .map(s ->
                  "{\"color\":\"%s\",\"shape\":\"%s\"}"
                      .formatted(s.color().word(), s.kind().word()))
              .collect(Collectors.joining(",", "[", "]"));
      case COUNT -> "{\"count\":" + english + "}";
      case COLOR -> "{\"color\":\"" + english + "\"}";
      case SHAPE -> "{\"shape\":\"" + english + "\"}";
      case EXISTS -> "{\"answer\":" + english.equals("yes") + "}";
      case WHERE -> "{\"place\":\"" + english + "\"}";
      case WHICH -> throw new IllegalArgumentException("adapters are not asked about two pictures");
    };
  }

  /** For instance "red 2, blue 1": colors in the order in which a reader meets them. */
  private Question colors(Scene scene) {
    String answer =
        scene.shapes().stream()
            .map(PlacedShape::color)
            .distinct()
            .map(color ->
                color.word()
                    + " "
                    + scene.shapes().stream().filter(s -> s.color() == color).count())
            .collect(Collectors.joining(", "));
    String text = wording(COLORS_ASKED, COLORS_FORMS, any(POLITE.subList(0, 3)));
    return new Question(TaskKind.COUNT, text, answer);
  }

  /** For instance "a red circle at the top left, a blue square in the center". */
  private Question places(Scene scene, String plain, boolean instructed) {
    String answer =
        scene.shapes().stream()
            .map(s -> s.pair().withArticle() + " " + s.cell().phrase())
            .collect(Collectors.joining(", "));
    String text = instructed ? wording(PLACES_ASKED, PLACES_FORMS, any(POLITE)) : plain;
    return new Question(TaskKind.DESCRIBE, text, answer);
  }

  private String wording(List<String> asked, List<String> forms, String polite) {
    while (true) {
      String what = any(asked);
      String form = any(forms);
      int order = next(3);
      if (owns(what + form + order / 2)) {
        String mark = what.startsWith("how") ? "?" : ".";
        return polite + (order < 2 ? what + " " + form : form + ", " + what) + mark;
      }
    }
  }

  /**
   * For instance "at the top left": above and to the left of the other; or, plain, where the one
   * is.
   */
  private Optional<Question> relation(Scene scene, boolean plain) {
    PlacedShape one = any(scene.shapes());
    PlacedShape other = any(scene.shapes());
    if (one.equals(other) || !unique(scene, one) || !unique(scene, other)) {
      return Optional.empty();
    }
    int rows = one.cell().row() - other.cell().row();
    int columns = one.cell().column() - other.cell().column();
    Cell direction = Cell.values()[3 * (Integer.signum(rows) + 1) + Integer.signum(columns) + 1];
    String text;
    while (true) {
      String what = any(RELATIONS_ASKED);
      String form = any(RELATIONS_FORMS);
      int order = next(3);
      if (owns(what + form + order / 2)) {
        String asked = what.formatted("the " + one.pair().words());
        String from = form.formatted("the " + other.pair().words());
        String mark = what.startsWith("tell") ? "." : "?";
        text = (order < 2 ? asked + " " + from : from + ", " + asked) + mark;
        break;
      }
    }
    String answer = plain ? one.cell().words() : direction.phrase();
    return Optional.of(new Question(TaskKind.WHERE, text, answer));
  }

  private static boolean unique(Scene scene, PlacedShape shape) {
    return scene.shapes().stream().filter(s -> s.pair().equals(shape.pair())).count() == 1;
  }

  private boolean owns(String wording) {
    return Split.of(wording) == split;
  }

  private int next(int bound) {
    return generator.random().nextInt(bound);
  }

  private <T> T any(List<T> values) {
    return values.get(next(values.size()));
  }

  /** Every word that these questions and their answers add to {@link Questions#words()}. */
  public static List<String> words() {
    return List.of(
        ("french français language reply respond say write speak give using return output object format everything"
                + " number all by each per every sorted does stand relative compared seen from respect relation to"
                + " their they positions zéro trois quatre")
            .split(" "));
  }
}
