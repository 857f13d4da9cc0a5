package io.epidote.cli.chaos;

import io.epidote.cli.load.Access;
import io.epidote.cli.load.Arrivals;
import io.epidote.cli.load.LoadRequest;
import io.epidote.engine.error.EpidoteException.Unavailable;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.function.IntFunction;
import org.jspecify.annotations.Nullable;

/**
 * A load with faults: first the workload undisturbed, from which it is known what each request is
 * to get and how long that takes, then an open loop over the same requests while faults are done.
 */
public final class ChaosRun {
  /** Requests at a time in the first pass, in which the nodes also get warm. */
  private static final int WARM_UP_CLIENTS = 3;

  private static final Duration UNDISTURBED_TIMEOUT = Duration.ofSeconds(120);

  /**
   * What to do.
   *
   * @param grpc host:port of the router's gRPC port
   * @param http host:port of its HTTP port
   * @param access certificates and key
   * @param distinct requests
   * @param rate of arrivals, requests a second
   * @param length of the load
   * @param restartAfter from a process's end to its start
   * @param timeout after which an answer hangs
   * @param leaving share of the requests whose callers leave in the middle
   * @param fresh whether half of the requests have pictures that no cache knows; not where files
   *     are told apart by their bytes alone
   */
  public record Plan(
      String grpc,
      String http,
      Access access,
      int distinct,
      double rate,
      Duration length,
      Duration restartAfter,
      Duration timeout,
      double leaving,
      boolean fresh,
      long seed) {}

  /**
   * What came of it.
   *
   * @param memory that processes held while the load ran
   */
  public record Outcome(
      List<Attempt> undisturbed,
      List<Attempt> attempts,
      List<FaultRecord> faults,
      ProcessGrowth memory) {}

  private final Plan plan;
  private final FaultTarget target;
  private final List<Fault> faults;
  private final Consumer<String> progress;
  private final List<ChaosRequest> requests;

  /** Of each request by its index, how it last ended whole. */
  private final Map<Integer, Attempt> latest = new ConcurrentHashMap<>();

  private final AtomicInteger atWork = new AtomicInteger();
  private long sent;

  /**
   * @param progress hears how far it is, often
   */
  public ChaosRun(Plan plan, FaultTarget target, List<Fault> faults, Consumer<String> progress) {
    this.plan = plan;
    this.target = target;
    this.faults = faults;
    this.progress = progress;
    this.requests = ChaosWorkload.requests(plan.distinct(), plan.seed());
  }

  /**
   * Returns when every answer has ended or hangs, and every fault is undone.
   *
   * @throws Unavailable when the cluster does not answer alike without any fault
   */
  public Outcome run() throws InterruptedException {
    try (ChaosClient client = client(UNDISTURBED_TIMEOUT)) {
      List<Attempt> expected = warmUp(client);
      progress.accept("the same requests again, at the rate of the load");
      List<Attempt> undisturbed = loop(client, requests.size(), _ -> Optional.empty());
      for (Attempt attempt : undisturbed) {
        check(attempt, expected.get(attempt.request().index()));
      }
      int count = (int) Math.max(1, Math.round(plan.rate() * plan.length().toMillis() / 1e3));
      FaultRunner runner = new FaultRunner(target, plan.restartAfter(), atWork::get);
      try (ChaosClient disturbed = client(plan.timeout());
          ProcessMemory memory = ProcessMemory.watch(target::processes, plan.length())) {
        runner.start(faults, System.nanoTime());
        SplittableRandom random = new SplittableRandom(plan.seed() + 1);
        List<Attempt> attempts =
            loop(disturbed, count, index -> leaving(random, latest.get(index)));
        ProcessGrowth growth = memory.stop();
        progress.accept("waiting until all faults are undone");
        runner.await();
        return new Outcome(undisturbed, attempts, runner.records(), growth);
      } finally {
        runner.stop();
      }
    }
  }

  /** When the caller of a request leaves: at any time of what the same took when it last ended. */
  private Optional<Duration> leaving(SplittableRandom random, @Nullable Attempt last) {
    boolean leaves = random.nextDouble() < plan.leaving();
    double part = random.nextDouble();
    return leaves && last != null
        ? Optional.of(Duration.ofNanos(Math.round(part * (last.endedAt() - last.due()))))
        : Optional.empty();
  }

  private ChaosClient client(Duration timeout) {
    return new ChaosClient(plan.grpc(), plan.http(), plan.access(), timeout);
  }

  private List<Attempt> warmUp(ChaosClient client) throws InterruptedException {
    List<CompletableFuture<Attempt>> all = new ArrayList<>();
    for (int i = 0; i < requests.size(); i++) {
      progress.accept("undisturbed: %d of %d requests".formatted(i, requests.size()));
      all.add(send(client, i, System.nanoTime(), Optional.empty()));
      if (i >= WARM_UP_CLIENTS - 1) {
        var unused = all.get(i - WARM_UP_CLIENTS + 1).join();
      }
    }
    List<Attempt> answers = all.stream().map(CompletableFuture::join).toList();
    answers.forEach(answer -> check(answer, answer));
    return answers;
  }

  private static void check(Attempt attempt, Attempt expected) {
    String difference =
        attempt.how() == Attempt.End.WHOLE ? attempt.difference(expected) : attempt.error();
    if (!difference.isEmpty()) {
      throw new Unavailable(
          "Without any fault the cluster does not answer request %d as before, so that nothing can be compared: %s"
              .formatted(attempt.request().index(), difference));
    }
  }

  private List<Attempt> loop(
      ChaosClient client, int count, IntFunction<Optional<Duration>> leaveAfter)
      throws InterruptedException {
    Arrivals.Open arrivals = new Arrivals.Poisson(plan.rate());
    SplittableRandom random = new SplittableRandom(plan.seed());
    LoadRequest any =
        new LoadRequest(List.of(), "", new int[0], 0, "", OptionalDouble.empty(), null);
    List<CompletableFuture<Attempt>> all = new ArrayList<>();
    double due = System.nanoTime();
    for (int i = 0; i < count; i++) {
      due += arrivals.gap(i, any, random) * 1e9;
      long left = (long) due - System.nanoTime();
      if (left > 0) {
        TimeUnit.NANOSECONDS.sleep(left);
      }
      int index = i % requests.size();
      all.add(send(client, index, (long) due, leaveAfter.apply(index)));
      progress.accept("%d of %d sent, %d at work".formatted(i + 1, count, atWork.get()));
    }
    return all.stream().map(CompletableFuture::join).toList();
  }

  private CompletableFuture<Attempt> send(
      ChaosClient client, int index, long due, Optional<Duration> leaveAfter) {
    ChaosRequest request = requests.get(index);
    long number = sent++;
    // Half of the requests find nothing in caches.
    boolean fresh = number % 2 == 1;
    List<byte[]> pictures =
        fresh && plan.fresh()
            ? request.pictures().stream()
                .map(picture -> ChaosWorkload.fresh(picture, number))
                .toList()
            : request.pictures();
    atWork.incrementAndGet();
    CompletableFuture<Attempt> answer =
        client.send(
            request, "chaos-" + number, pictures, fresh ? "salt-" + number : "", due, leaveAfter);
    return answer.whenComplete((attempt, _) -> {
      atWork.decrementAndGet();
      if (attempt != null && attempt.how() == Attempt.End.WHOLE) {
        latest.put(index, attempt);
      }
    });
  }
}
