package io.epidote.cli;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.scenes.AnswerForm;
import io.epidote.scenes.Prompt;
import io.epidote.scenes.SceneSet;
import io.epidote.scenes.Split;
import io.epidote.scenes.Task;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * Exact answers of every adapter of {@code models/scenes-adapters} and of the base on the adapter's
 * own questions, and how often {@code scenes:auto} chooses right, all through a router.
 */
final class AdapterEvaluation {
  private static final String MODEL = "scenes";
  private static final SamplingParams GREEDY =
      SamplingParams.newBuilder().setTemperature(0).build();

  private final String address;
  private final ConnectionOptions as;
  private final int count;
  private final long seed;
  private final int concurrency;
  private final Progress progress;

  /**
   * @param address of a router that has the adapters and the classifier
   * @param as whoever asks
   * @param count questions to each adapter, and prompts to choose by
   */
  AdapterEvaluation(
      String address,
      ConnectionOptions as,
      int count,
      long seed,
      int concurrency,
      Progress progress) {
    this.address = address;
    this.as = as;
    this.count = count;
    this.seed = seed;
    this.concurrency = concurrency;
    this.progress = progress;
  }

  /** Lets a cluster start with all adapters that ship, and with their classifier. */
  static void addTo(ClusterOptions options) {
    for (AnswerForm form : forms()) {
      options.node.adapters.put(form.word(), folder().resolve(form.word()));
    }
    options.router.classifier = folder().resolve("router.json");
  }

  private static Path folder() {
    return Home.model("scenes-adapters");
  }

  private static List<AnswerForm> forms() {
    List<AnswerForm> forms =
        Arrays.stream(AnswerForm.values())
            .filter(form -> Files.exists(folder().resolve(form.word()).resolve("expert_cfg.json")))
            .toList();
    if (forms.isEmpty()) {
      throw new InvalidRequest(folder() + " has no adapters; train them as docs/scenes.md says");
    }
    return forms;
  }

  Report run() {
    Report report = new Report("eval");
    try (InferenceClient client = new InferenceClient(address, as);
        ExecutorService clients = Executors.newFixedThreadPool(concurrency)) {
      for (AnswerForm form : forms()) {
        List<Callable<Boolean>> adapter = new ArrayList<>();
        List<Callable<Boolean>> base = new ArrayList<>();
        for (int i = 0; i < count; i++) {
          int index = i;
          adapter.add(() -> exact(client, MODEL + ":" + form.word(), form, index));
          base.add(() -> exact(client, MODEL, form, index));
        }
        report
            .figure("exact_" + form.word(), share(clients, adapter, form.word()))
            .figure(
                "base_exact_" + form.word(), share(clients, base, "the base as " + form.word()));
      }
      List<Callable<Boolean>> choices = new ArrayList<>();
      for (int i = 0; i < count; i++) {
        int index = i;
        choices.add(() -> rightChoice(client, Prompt.of(Split.HELD_OUT, seed, index)));
      }
      report.figure("auto_route_exact", share(clients, choices, "for a choice"));
    }
    return report.figure("count", count);
  }

  private boolean exact(InferenceClient client, String model, AnswerForm form, int index) {
    Task task = SceneSet.heldOut(seed, index, form);
    List<byte[]> pictures = task.pictures().stream().map(EvalCommand::png).toList();
    String answer =
        client
            .generate(
                InferenceClient.question(model, pictures, task.question(), GREEDY), text -> {})
            .text();
    return answer.strip().equals(task.answer());
  }

  /** Whether the answer says that it is of the adapter that the prompt was written for. */
  private static boolean rightChoice(InferenceClient client, Prompt prompt) {
    SamplingParams shortest = GREEDY.toBuilder().setMaxTokens(1).build();
    String wanted =
        prompt
            .form()
            .filter(forms()::contains)
            .map(form -> MODEL + ":" + form.word())
            .orElse(MODEL);
    return client
        .generate(
            InferenceClient.question(MODEL + ":auto", List.of(), prompt.text(), shortest),
            text -> {})
        .model()
        .equals(wanted);
  }

  private double share(ExecutorService clients, List<Callable<Boolean>> asked, String whom) {
    progress.update("asking " + whom);
    try {
      int right = 0;
      List<Future<Boolean>> answers = clients.invokeAll(asked);
      for (Future<Boolean> answer : answers) {
        right += answer.get() ? 1 : 0;
      }
      return Report.rounded((double) right / asked.size());
    } catch (ExecutionException e) {
      if (e.getCause() instanceof EpidoteException known) {
        throw known;
      }
      throw new EpidoteException.Internal("A question failed: " + e.getCause(), e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new EpidoteException.Unavailable("Interrupted", e);
    }
  }
}
