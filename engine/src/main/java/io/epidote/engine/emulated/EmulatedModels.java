package io.epidote.engine.emulated;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.cost.ExpertReads;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import io.epidote.engine.model.Adapters;
import io.epidote.engine.model.Decoder;
import io.epidote.engine.model.ModelMemory;
import io.epidote.engine.model.Models;
import io.epidote.engine.model.VisionEncoder;

/** Emulated models with the sizes of a checkpoint, of which no weight is read. */
public final class EmulatedModels {
  /** What an emulated model calls its precision, in a node's status and in answers' timelines. */
  public static final String PRECISION = "emulated";

  /** Tiles that an emulated encoder takes at a time. */
  public static final int MAX_TILES = 16;

  /**
   * Of a step's own time, what others may add to it in its midst before it is ended first: who goes
   * first must not have everything.
   */
  public static final int MOST_STRETCHED = 8;

  static final ModelMemory NO_MEMORY = new ModelMemory("", 0, 0);

  private final ModelConfig config;
  private final CostProfile costs;
  private final TimingAudit audit;

  /**
   * @param audit is told what steps took
   */
  public EmulatedModels(ModelConfig config, CostProfile costs, TimingAudit audit) {
    this.config = requireNonNull(config, "config is null");
    this.costs = requireNonNull(costs, "costs is null");
    this.audit = requireNonNull(audit, "audit is null");
  }

  /**
   * An encode stage's model.
   *
   * @throws BadCheckpoint when the checkpoint has no vision tower
   */
  public VisionEncoder openVision() {
    if (config.vision().isEmpty()) {
      throw new BadCheckpoint(
          "The checkpoint has no vision_config: it is a text model, and no node can hold its encode stage; start nodes with --stages prefill,decode");
    }
    return new EmulatedVisionEncoder(
        costs, new StepClock(audit), config.tileTokens(), config.text().hiddenSize());
  }

  /** A model of prefill and decode. It never ends an answer: one has as many tokens as it may. */
  public Decoder openDecoder() {
    return new EmulatedDecoder(
        costs,
        new StepClock(audit),
        new ExpertReads(config.text()),
        Models.decoderShape(config.text()),
        config.eosTokenIds(),
        Adapters.withoutWeights());
  }
}
