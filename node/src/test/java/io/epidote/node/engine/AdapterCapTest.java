package io.epidote.node.engine;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;

final class AdapterCapTest {
  private record Request(int number, String adapter) {
    Optional<String> name() {
      return adapter.isEmpty() ? Optional.empty() : Optional.of(adapter);
    }
  }

  private static List<Request> requests(String... adapters) {
    List<Request> requests = new ArrayList<>();
    for (String adapter : adapters) {
      requests.add(new Request(requests.size(), adapter));
    }
    return requests;
  }

  private static List<Integer> numbers(List<Request> requests) {
    return requests.stream().map(Request::number).toList();
  }

  @Example
  void theFirstAdaptersInTurnAreTakenAndTheBaseCountsForNone() {
    List<Request> turns = requests("a", "", "b", "c", "a", "", "c");
    assertThat(numbers(new AdapterCap<String>(2).first(turns, Request::name)))
        .containsExactly(0, 1, 2, 4, 5);
    assertThat(new AdapterCap<String>(3).first(turns, Request::name)).isEqualTo(turns);
  }

  /** Answers of any adapters come and go: each gets its part of the steps while it is there. */
  @Property(tries = 200)
  void stepsAreSharedEquallyAmongAdapters(
      @ForAll @IntRange(min = 1, max = 5) int most,
      @ForAll @IntRange(min = 1, max = 9) int adapters,
      @ForAll @IntRange(min = 0, max = 1000) int seed) {
    Random random = new Random(seed);
    List<Request> running = new ArrayList<>();
    for (int i = 0; i < adapters; i++) {
      for (int answers = 1 + random.nextInt(3); answers > 0; answers--) {
        running.add(new Request(running.size(), "a" + i));
      }
    }
    AdapterCap<String> cap = new AdapterCap<>(most);
    Map<String, Integer> steps = new HashMap<>();
    int rounds = 60;
    for (int step = 0; step < rounds; step++) {
      List<Request> batch = cap.share(running, Request::name);
      List<String> in = batch.stream().map(Request::adapter).distinct().toList();
      assertThat(in).hasSize(Math.min(most, adapters));
      // All answers of an adapter that is in.
      assertThat(batch)
          .containsExactlyElementsOf(
              running.stream().filter(request -> in.contains(request.adapter())).toList());
      in.forEach(adapter -> steps.merge(adapter, 1, Integer::sum));
    }
    int fair = rounds * Math.min(most, adapters) / adapters;
    assertThat(steps.values()).hasSize(adapters).allMatch(had -> Math.abs(had - fair) <= 1);
  }

  /** One that comes late has not saved up the steps that it was not there for. */
  @Example
  void whoComesLaterStartsWithTheOthers() {
    AdapterCap<String> cap = new AdapterCap<>(1);
    List<Request> two = requests("a", "b");
    for (int i = 0; i < 100; i++) {
      assertThat(cap.share(two, Request::name)).hasSize(1);
    }
    List<Request> three = requests("a", "b", "c");
    int late = 0;
    for (int i = 0; i < 30; i++) {
      late += cap.share(three, Request::name).getFirst().adapter().equals("c") ? 1 : 0;
    }
    assertThat(late).isEqualTo(10);
  }
}
