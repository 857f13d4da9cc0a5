package io.epidote.cli;

import io.epidote.cli.CompareSide.Times;
import io.epidote.engine.error.EpidoteException;
import io.epidote.proto.v1.GenerateRequest;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.locks.LockSupport;
import java.util.function.IntFunction;
import java.util.function.Supplier;

/**
 * Requests that arrive at random whether others are answered or not: an open loop with exponential
 * gaps, the same for every side. What a request waits counts from when it should have been sent.
 */
final class CompareLoad {
  private static final long SEED = 5;

  /**
   * What requests should have, in the devices' time.
   *
   * @param ttftMs until the first token
   * @param tpotMs for each token after it
   */
  record Targets(double ttftMs, double tpotMs) {}

  private final int requests;
  private final int answerTokens;
  private final Targets targets;

  CompareLoad(int requests, int answerTokens, Targets targets) {
    this.requests = requests;
    this.answerTokens = answerTokens;
    this.targets = targets;
  }

  /**
   * What share of the requests met both targets.
   *
   * @param rate requests a second, in the devices' time
   */
  double attainment(CompareSide side, double rate, Supplier<GenerateRequest> next) {
    List<Optional<Times>> answers = run(side, rate, requests, _ -> next.get());
    return answers.stream().flatMap(Optional::stream).filter(this::meets).count()
        / (double) requests;
  }

  /**
   * Sends requests and waits for all answers.
   *
   * @param rate requests a second, in the devices' time
   * @return of each request when it should have been sent until its first token and its end; empty
   *     for one that failed
   */
  static List<Optional<Times>> run(
      CompareSide side, double rate, int requests, IntFunction<GenerateRequest> next) {
    SplittableRandom random = new SplittableRandom(SEED);
    List<Optional<Times>> answers =
        new ArrayList<>(Collections.nCopies(requests, Optional.empty()));
    double second = 1e9 / side.timeScale();
    try (ExecutorService clients = Executors.newVirtualThreadPerTaskExecutor()) {
      double due = System.nanoTime();
      for (int i = 0; i < requests; i++) {
        int number = i;
        due += -Math.log(1 - random.nextDouble()) / rate * second;
        long at = (long) due;
        while (System.nanoTime() < at) {
          LockSupport.parkNanos(at - System.nanoTime());
        }
        clients.execute(() -> {
          double late = (System.nanoTime() - at) / 1e6 * side.timeScale();
          try {
            Times times = side.ask(next.apply(number));
            Times waited = new Times(times.firstToken() + late, times.end() + late);
            synchronized (answers) {
              answers.set(number, Optional.of(waited));
            }
          } catch (EpidoteException e) {
            // A request without an answer has met nothing.
            System.err.println("epidote: " + e.getMessage());
          }
        });
      }
    }
    return answers;
  }

  private boolean meets(Times times) {
    return times.firstToken() <= targets.ttftMs()
        && (times.end() - times.firstToken()) / (answerTokens - 1) <= targets.tpotMs();
  }
}
