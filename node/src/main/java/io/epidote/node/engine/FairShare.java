package io.epidote.node.engine;

import static java.util.Objects.requireNonNull;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.PriorityQueue;

/**
 * Shares a stage among tenants by weight, and what a tenant gets equally among the adapters that it
 * asks for. Each has a virtual time, which advances by the work that was done for it over its
 * weight; whoever is furthest behind is next. One that comes, or comes back, starts no further
 * behind than those who have been waiting, so that nobody saves up a share that it did not ask for,
 * and nobody pays for what it had while nobody else wanted it.
 *
 * <p>This is start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996), in two levels (Goyal,
 * Guo and Vin, OSDI 1996), where work is counted as it is done, because nobody knows how long an
 * answer gets (Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024). A flow falls
 * behind another of the same weight by one request's work at the most.
 *
 * <p>Work is in whatever unit the stage counts: prompt tokens, tokens of answers, tiles. It belongs
 * to one thread, or to a lock.
 */
public final class FairShare {
  private final TenantWeights weights;
  private final Level tenants = new Level();

  public FairShare(TenantWeights weights) {
    this.weights = requireNonNull(weights, "weights is null");
  }

  /** Who shares something, with a virtual time for each. */
  private static final class Level {
    private final Map<String, Account> accounts = new HashMap<>();
    private double now;

    /** Where one starts or stands. */
    double time(String name) {
      Account account = accounts.get(name);
      if (account == null) {
        return now();
      }
      return account.present > 0 ? account.time : Math.max(account.time, now());
    }

    Account account(String name) {
      return accounts.computeIfAbsent(name, _ -> new Account(now()));
    }

    void enter(String name) {
      double start = time(name);
      Account account = account(name);
      account.time = start;
      account.present++;
    }

    void leave(String name) {
      account(name).present--;
      forget();
    }

    void charge(String name, double work) {
      account(name).time += work;
      forget();
    }

    /** The virtual time of whoever is furthest behind among those who want something. */
    private double now() {
      double least = Double.MAX_VALUE;
      for (Account account : accounts.values()) {
        if (account.present > 0) {
          least = Math.min(least, account.time);
        }
      }
      if (least < Double.MAX_VALUE) {
        now = Math.max(now, least);
      }
      return now;
    }

    /** Drops those of whom nothing is left to be known. */
    private void forget() {
      if (accounts.values().stream().allMatch(account -> account.present == 0)) {
        // A busy time is over: all start alike.
        accounts.values().forEach(account -> now = Math.max(now, account.time));
        accounts.clear();
        return;
      }
      double least = now();
      accounts.values().removeIf(account -> account.present == 0 && account.time <= least);
    }
  }

  private static final class Account {
    private final Level adapters = new Level();
    private double time;

    /** Requests that want something. */
    private int present;

    Account(double time) {
      this.time = time;
    }
  }

  /** A request's part in it. */
  public final class Presence {
    private final Flow flow;
    private boolean present;

    private Presence(Flow flow) {
      this.flow = flow;
    }

    /** From now on the request could go on if it were given a turn. Repeating it is harmless. */
    public void enter() {
      if (!present) {
        present = true;
        tenants.enter(flow.tenant());
        tenants.account(flow.tenant()).adapters.enter(flow.adapter());
      }
    }

    /**
     * Work was done for the request.
     *
     * @param work negative to take back what was counted before it was done, and was not
     */
    public void charge(double work) {
      tenants.account(flow.tenant()).adapters.charge(flow.adapter(), work);
      tenants.charge(flow.tenant(), work / weights.of(flow.tenant()));
    }

    /** It wants nothing more. Repeating it is harmless. */
    public void leave() {
      if (present) {
        present = false;
        tenants.account(flow.tenant()).adapters.leave(flow.adapter());
        tenants.leave(flow.tenant());
      }
    }
  }

  /** For a request that has not entered yet. */
  public Presence of(Flow flow) {
    return new Presence(flow);
  }

  /** Tenants of whom anything is remembered; none when nobody wants anything. */
  public int tenants() {
    return tenants.accounts.size();
  }

  /** Requests of one adapter of a tenant, while they are put in order. */
  private static final class AdapterLine<T extends Waiting> {
    private final ArrayDeque<T> requests = new ArrayDeque<>();
    private final int place;
    private double time;

    AdapterLine(double time, int place) {
      this.time = time;
      this.place = place;
    }

    /** Of the next one, of which there is one. */
    int priority() {
      return requests.getFirst().flow().priority();
    }
  }

  /** A tenant's, likewise. */
  private static final class TenantLine<T extends Waiting> {
    private final Map<String, AdapterLine<T>> byAdapter = new LinkedHashMap<>();
    private final PriorityQueue<AdapterLine<T>> adapters =
        new PriorityQueue<>(
            Comparator.<AdapterLine<T>>comparingInt(AdapterLine::priority)
                .thenComparingDouble(line -> line.time)
                .thenComparingInt(line -> line.place));
    private final double weight;
    private final int place;
    private double time;

    TenantLine(double weight, double time, int place) {
      this.weight = weight;
      this.time = time;
      this.place = place;
    }
  }

  /**
   * Requests in the order in which they would be served if each took the work that is predicted for
   * it; of one tenant's the urgent ones first, and those of one flow in the order in which they are
   * given.
   */
  public <T extends Waiting> List<T> interleave(List<T> requests) {
    if (requests.stream().map(Waiting::flow).distinct().limit(2).count() < 2) {
      return requests;
    }
    List<T> urgentFirst =
        requests.stream()
            .sorted(Comparator.comparingInt(request -> request.flow().priority()))
            .toList();
    PriorityQueue<TenantLine<T>> lines =
        new PriorityQueue<>(
            Comparator.<TenantLine<T>>comparingDouble(line -> line.time)
                .thenComparingInt(line -> line.place));
    lines.addAll(lines(urgentFirst));
    List<T> served = new ArrayList<>(requests.size());
    while (!lines.isEmpty()) {
      TenantLine<T> tenant = lines.remove();
      AdapterLine<T> adapter = tenant.adapters.remove();
      T request = adapter.requests.remove();
      served.add(request);
      // Nothing measured or nothing left is still a turn.
      double work = Math.max(1, request.remainingWork());
      adapter.time += work;
      tenant.time += work / tenant.weight;
      if (!adapter.requests.isEmpty()) {
        tenant.adapters.add(adapter);
      }
      if (!tenant.adapters.isEmpty()) {
        lines.add(tenant);
      }
    }
    return served;
  }

  private <T extends Waiting> List<TenantLine<T>> lines(List<T> requests) {
    Map<String, TenantLine<T>> byTenant = new LinkedHashMap<>();
    for (T request : requests) {
      Flow flow = request.flow();
      Account account = tenants.accounts.get(flow.tenant());
      TenantLine<T> tenant =
          byTenant.computeIfAbsent(
              flow.tenant(),
              name -> new TenantLine<>(weights.of(name), tenants.time(name), byTenant.size()));
      tenant
          .byAdapter
          .computeIfAbsent(
              flow.adapter(),
              name ->
                  new AdapterLine<>(
                      account == null ? 0 : account.adapters.time(name), tenant.byAdapter.size()))
          .requests
          .add(request);
    }
    for (TenantLine<T> tenant : byTenant.values()) {
      tenant.adapters.addAll(tenant.byAdapter.values());
    }
    return List.copyOf(byTenant.values());
  }
}
