package io.epidote.engine.kernel;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * How many tokens each expert was given since the start, by layer and adapter. Counting is an
 * addition for each pair of token and expert. The thread that runs steps writes; what another reads
 * may be a little old.
 */
public final class ExpertLoad {
  /** Whose tokens ran on the base alone. */
  public static final String BASE = "";

  /** Together, those that came when so many others had been counted. */
  public static final String OTHERS = "(others)";

  /** Adapters come and go; what is known of each takes memory and a time series. */
  private static final int MOST_ADAPTERS = 64;

  private final int layers;
  private final int experts;
  private final ExpertSlots slots;
  private final Map<String, long[]> byAdapter = new LinkedHashMap<>();

  /**
   * @param experts of a layer
   * @param slots of adapters' experts
   */
  public ExpertLoad(int layers, int experts, ExpertSlots slots) {
    this.layers = layers;
    this.experts = experts;
    this.slots = slots;
    byAdapter.put(BASE, new long[layers * experts]);
  }

  public int layers() {
    return layers;
  }

  /** Of a layer. */
  public int experts() {
    return experts;
  }

  /** Slots that are lent to adapters now, in all layers. */
  public int slotsLent() {
    return slots.lent();
  }

  /**
   * Tokens by adapter and {@code layer * experts + expert}, where expert is its number in the base,
   * whoever's weights it has. To be read by the thread that runs steps.
   */
  public Map<String, long[]> counts() {
    return byAdapter;
  }

  /** Begins again with nothing counted. */
  public void forget() {
    byAdapter.keySet().removeIf(adapter -> !adapter.equals(BASE));
    Arrays.fill(of(BASE), 0);
  }

  long[] of(String adapter) {
    long[] counts = byAdapter.get(adapter);
    if (counts == null) {
      String name = byAdapter.size() > MOST_ADAPTERS ? OTHERS : adapter;
      counts = byAdapter.computeIfAbsent(name, _ -> new long[layers * experts]);
    }
    return counts;
  }
}
