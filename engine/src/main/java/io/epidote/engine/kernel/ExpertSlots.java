package io.epidote.engine.kernel;

import java.util.Arrays;

/**
 * Where the experts of adapters stand. In each layer, slots 0 to {@code experts - 1} are the base's
 * experts; those after are lent to adapters, an expert each, and name its weights. A slot that is
 * given back is lent again before a new one is made, so that there are never more of a layer than
 * were in use at a time.
 *
 * <p>Any thread takes and gives slots. A step reads those of adapters that are kept for it, so it
 * may see an older table, but never one without them.
 */
public final class ExpertSlots {
  private final int experts;
  private final Layer[] layers;

  /** Addresses by slot, from the first that is not the base's. */
  private record Table(long[] gateUp, long[] down) {}

  private static final class Layer {
    private volatile Table table = new Table(new long[0], new long[0]);
    private int[] free = {};
    private int freeCount;
  }

  /**
   * @param experts of the base in a layer
   */
  public ExpertSlots(int layers, int experts) {
    this.experts = experts;
    this.layers = new Layer[layers];
    Arrays.setAll(this.layers, i -> new Layer());
  }

  /**
   * Lends a slot.
   *
   * @param gateUp address of the expert's gate and up side by side, packed as the base's
   * @param down address of its down, likewise
   */
  public synchronized int take(int layer, long gateUp, long down) {
    Layer at = layers[layer];
    Table table = at.table;
    boolean reuse = at.freeCount > 0;
    int index = reuse ? at.free[--at.freeCount] : table.gateUp().length;
    int size = Math.max(table.gateUp().length, index + 1);
    long[] gateUps = Arrays.copyOf(table.gateUp(), size);
    long[] downs = Arrays.copyOf(table.down(), size);
    gateUps[index] = gateUp;
    downs[index] = down;
    at.table = new Table(gateUps, downs);
    return experts + index;
  }

  /** Takes a slot back that no step uses any more. */
  public synchronized void give(int layer, int slot) {
    Layer at = layers[layer];
    int index = slot - experts;
    Table table = at.table;
    if (index < 0 || index >= table.gateUp().length || table.gateUp()[index] == 0) {
      throw new IllegalStateException("slot %d of layer %d is not lent".formatted(slot, layer));
    }
    long[] gateUps = table.gateUp().clone();
    long[] downs = table.down().clone();
    gateUps[index] = 0;
    downs[index] = 0;
    at.table = new Table(gateUps, downs);
    if (at.freeCount == at.free.length) {
      at.free = Arrays.copyOf(at.free, at.freeCount + 8);
    }
    at.free[at.freeCount++] = index;
  }

  /** Slots that are lent, in all layers. */
  public synchronized int lent() {
    int lent = 0;
    for (Layer layer : layers) {
      lent += layer.table.gateUp().length - layer.freeCount;
    }
    return lent;
  }

  /** Slots of a layer, the base's and all that were ever lent at a time. */
  public int count(int layer) {
    return experts + layers[layer].table.gateUp().length;
  }

  long gateUp(int layer, int slot) {
    return layers[layer].table.gateUp()[slot - experts];
  }

  long down(int layer, int slot) {
    return layers[layer].table.down()[slot - experts];
  }
}
