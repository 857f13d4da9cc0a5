package io.epidote.planner.sim;

import io.epidote.engine.cost.StepWork;
import io.epidote.engine.model.DecoderShape;
import io.epidote.node.StepCost;
import io.epidote.node.engine.Flow;
import io.epidote.node.engine.Line;
import io.epidote.node.engine.Waiting;
import io.epidote.node.kv.EarlyHolders;
import io.epidote.node.kv.KvBudget;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;

/** One prompt at a prefill stage: how far it is and what it holds. */
final class PromptModel implements Waiting {
  /** As those of a real prefill stage. */
  enum Phase {
    AWAITING_MEDIA,
    RESERVING_MEDIA,
    PULLING,
    RESERVING_KV,
    STREAMING,
    RUNNING,
    DONE
  }

  /** Where the media tokens of a span are. */
  enum Media {
    AWAITED,
    REMOTE,
    ARRIVING,
    /** In a block of the prefill stage. */
    PULLED,
    /** In a block of the encode stage of the same node. */
    SHARED,
    USED
  }

  final Flight flight;
  final boolean mediaFirst;
  final boolean kvLast;
  final PrefillModel.Told told;
  final Media[] media;

  /** Which node made a span's media tokens, as far as announced. */
  final NodeModel[] at;

  private final List<Request.Span> spans;
  private final long since;
  private final OptionalLong deadline;
  private final StepCost cost;
  private int awaited;
  private int firstMissing;

  Phase phase = Phase.AWAITING_MEDIA;
  Line.@Nullable Place place;
  EarlyHolders.@Nullable Place early;
  KvBudget.@Nullable Claim claim;

  /** Tokens that have keys and values. */
  int done;

  /** Tokens that the step at hand runs. */
  int chunk;

  /** Spans whose media tokens are not needed any more. */
  int used;

  /** Tokens whose KV blocks were announced. */
  int offered;

  /** Parts that were not pulled yet. */
  int leases;

  /** Of parts that were pulled before the prompt was done. */
  int releasedBlocks;

  PromptModel(
      Flight flight,
      boolean mediaFirst,
      boolean kvLast,
      long since,
      OptionalLong deadline,
      StepCost cost,
      PrefillModel.Told told) {
    this.flight = flight;
    this.spans = flight.request.spans();
    this.mediaFirst = mediaFirst;
    this.kvLast = kvLast;
    this.since = since;
    this.deadline = deadline;
    this.cost = cost;
    this.told = told;
    this.media = new Media[spans.size()];
    Arrays.fill(media, Media.AWAITED);
    this.at = new NodeModel[spans.size()];
    this.awaited = spans.size();
  }

  int tokens() {
    return flight.request.promptTokens();
  }

  int spans() {
    return spans.size();
  }

  Request.Span span(int index) {
    return spans.get(index);
  }

  int promptBlocks() {
    return DecoderShape.blocksFor(tokens());
  }

  void announce(int span, NodeModel by, boolean here) {
    media[span] = here ? Media.SHARED : Media.REMOTE;
    at[span] = by;
    awaited--;
  }

  boolean allMediaAnnounced() {
    return awaited == 0;
  }

  boolean isAwaited(int span) {
    return media[span] == Media.AWAITED;
  }

  boolean isRemote(int span) {
    return media[span] == Media.REMOTE;
  }

  List<Integer> remoteSpans() {
    List<Integer> remote = new ArrayList<>();
    for (int span = 0; span < media.length; span++) {
      if (isRemote(span)) {
        remote.add(span);
      }
    }
    return remote;
  }

  /** Whether media tokens are here in blocks of the prefill stage. */
  boolean hasPulled() {
    for (int span = used; span < media.length; span++) {
      if (media[span] == Media.PULLED) {
        return true;
      }
    }
    return false;
  }

  /** The first span whose media tokens were not here yet, or the number of spans. */
  int firstMissing() {
    while (firstMissing < media.length
        && switch (media[firstMissing]) {
          case PULLED, SHARED, USED -> true;
          case AWAITED, REMOTE, ARRIVING -> false;
        }) {
      firstMissing++;
    }
    return firstMissing;
  }

  boolean allMediaHere() {
    return firstMissing() == media.length;
  }

  /** Tokens from the first on for which nothing is missing. */
  int known() {
    int missing = firstMissing();
    return missing == media.length ? tokens() : spans.get(missing).position();
  }

  void leaveEarly() {
    if (early != null) {
      early.leave();
      early = null;
    }
  }

  void leaveLine() {
    if (place != null) {
      place.leave();
      place = null;
    }
  }

  @Override
  public long since() {
    return since;
  }

  @Override
  public OptionalLong deadline() {
    return deadline;
  }

  @Override
  public Flow flow() {
    return Flow.NONE;
  }

  @Override
  public double remainingWork() {
    return tokens() - done;
  }

  @Override
  public double remainingMs() {
    double left = tokens() - done;
    return cost.ms(new StepWork.Prefill(left, left * (done + left / 2), done, 0));
  }
}
