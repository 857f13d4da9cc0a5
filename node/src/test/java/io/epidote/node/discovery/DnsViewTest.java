package io.epidote.node.discovery;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.net.UnknownHostException;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
class DnsViewTest {
  private static Set<Peer> peers(String... hosts) {
    return Set.copyOf(
        List.of(hosts).stream().map(host -> new Peer("routers", host, false)).toList());
  }

  @Test
  void addressesComeAndGoAndANameThatIsLostKeepsThem() {
    Map<String, List<String>> names = new ConcurrentHashMap<>();
    AtomicInteger lookups = new AtomicInteger();
    List<Set<Peer>> told = new CopyOnWriteArrayList<>();
    try (DnsView view =
        new DnsView(name -> {
          lookups.incrementAndGet();
          List<String> found = names.get(name);
          if (found == null) {
            throw new UnknownHostException(name);
          }
          return found;
        })) {
      view.watch(List.of("routers"), told::add);
      await().until(() -> lookups.get() > 0);
      assertThat(told).isEmpty();
      names.put("routers", List.of("10.0.0.1"));
      await().until(() -> told.size() == 1);
      names.put("routers", List.of("10.0.0.2", "10.0.0.1"));
      await().until(() -> told.size() == 2);
      names.remove("routers");
      int before = lookups.get();
      await().until(() -> lookups.get() > before + 1);
      names.put("routers", List.of("10.0.0.2"));
      await().until(() -> told.size() == 3);
      assertThat(told)
          .containsExactly(peers("10.0.0.1"), peers("10.0.0.1", "10.0.0.2"), peers("10.0.0.2"));
    }
  }

  @Test
  void theSystemsNamesAreFound() {
    List<Set<Peer>> told = new CopyOnWriteArrayList<>();
    try (DnsView view = DnsView.ofSystem()) {
      view.watch(List.of("localhost"), told::add);
      await().until(() -> !told.isEmpty());
      assertThat(told.getFirst()).contains(new Peer("localhost", "127.0.0.1", false));
    }
  }
}
