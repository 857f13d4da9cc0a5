package io.epidote.router.request;

import io.epidote.engine.error.EpidoteException;
import io.epidote.router.auto.RequestClassifier;
import io.micrometer.core.instrument.MeterRegistry;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** Puts the name of an adapter in the place of {@code auto}, by what a request's text asks for. */
final class AdapterChoice {
  private static final String AUTO = "auto";

  private final String model;
  private final Optional<RequestClassifier> classifier;
  private final Supplier<List<String>> loaded;
  private final MeterRegistry meters;

  /**
   * @param model the served model's name
   * @param loaded adapters that requests can name now
   */
  AdapterChoice(
      String model,
      Optional<RequestClassifier> classifier,
      Supplier<List<String>> loaded,
      MeterRegistry meters) {
    this.model = model;
    this.classifier = classifier;
    this.loaded = loaded;
    this.meters = meters;
  }

  GenerationRequest addressed(GenerationRequest request) {
    if (!request.model().equals(model + GenerationRequest.ADAPTER + AUTO)
        || loaded.get().contains(AUTO)) {
      return request;
    }
    RequestClassifier chooses =
        classifier.orElseThrow(() ->
            new EpidoteException.NotFound(
                "\"%s\" asks for a choice of adapters, but this router has no classifier; start it with --classifier FILE."
                    .formatted(request.model())));
    String label = chooses.choose(text(request.prompt())).label();
    // One that is not loaded is no choice: the base answers.
    boolean base = label.equals(RequestClassifier.BASE) || !loaded.get().contains(label);
    meters
        .counter("epidote.auto.choices", "adapter", base ? RequestClassifier.BASE : label)
        .increment();
    return request.withModel(base ? model : model + GenerationRequest.ADAPTER + label);
  }

  /** Adapters that requests can name: those that are loaded, and the choice of one. */
  List<String> names(List<String> adapters) {
    return classifier.isEmpty() || adapters.contains(AUTO)
        ? adapters
        : Stream.concat(adapters.stream(), Stream.of(AUTO)).toList();
  }

  /** What is asked now: the last turn, not the conversation before it. */
  private static String text(PromptInput prompt) {
    return switch (prompt) {
      case PromptInput.Plain plain -> plain.text();
      case PromptInput.Tokens _ ->
          throw new InvalidField(
              "model",
              "leaves the adapter to the words of the prompt, which is tokens; name the adapter, or send text");
      case PromptInput.Chat chat ->
          chat.turns().isEmpty()
              ? ""
              : chat.turns().getLast().content().stream()
                  .filter(PromptInput.Text.class::isInstance)
                  .map(part -> ((PromptInput.Text) part).text())
                  .collect(Collectors.joining(" "));
    };
  }
}
