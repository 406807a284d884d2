// The files of this folder's schemas: shared types, then records by topic.

const TYPES: &[(&str, &str)] = types! {
    AcceptanceEvidence
    AcceptanceState
    Actor
    ApprovalState
    ApprovalStepState
    Artifact
    AuthoritySnapshot
    CancellationState
    Charge
    Claims
    Configuration
    ConfiguredLine
    Discount
    FalloutState
    IfMatch
    LineDiscount
    LineOverride
    LineRequest
    MatchedRule
    OrderLineSnapshot
    OrderLineState
    OrderSnapshot
    PlannedStep
    PolicyEvaluation
    PolicyInputs
    Price
    PriceLine
    PriceState
    PricedOffer
    PricingRequest
    QuoteLineState
    StepDecisionState
    StepState
};

const FILES: &[File] = files! {
    QUOTE_STATE State Quote "quote":
        QuoteState;
    ORDER_STATE State Order "order":
        OrderState;
    QUOTE_COMMANDS Command Quote "quote/commands":
        CreateQuote
        ConfigureQuote
        PriceQuote
        SubmitForApproval
        WithdrawApproval
        DecideApproval
        ClaimTask
        UnclaimTask
        CompleteTask
        GenerateArtifact
        AcceptQuote
        RequestOrder
        RecordApprovalStarted
        EscalateApprovalStep
        RecordArtifact
        LinkOrder
        WithdrawQuote
        ReopenQuote
        CloneQuote
        ExpireQuote;
    QUOTE_EVENTS Event Quote "quote/events":
        QuoteCreated
        QuoteConfigured
        QuotePriced
        QuoteSubmittedForApproval
        QuoteApprovalStarted
        QuoteApprovalStepClaimed
        QuoteApprovalStepReleased
        QuoteApprovalStepDecided
        QuoteApprovalEscalated
        QuoteApprovalWithdrawn
        QuoteApproved
        QuoteApprovalRejected
        QuoteArtifactGenerated
        QuoteAccepted
        QuoteOrderLinked
        QuoteReopened
        QuoteWithdrawn
        QuoteExpired;
    ORDER_COMMANDS Command Order "order/commands":
        CreateOrder
        CancelOrder
        RecordFulfilmentStarted
        RecordStepStarted
        RecordStepCompleted
        RecordStepUnknown
        RecordStepRejected
        RecordStepFailed
        RecordStepCompensated
        RecordCompensationFailed
        RecordFulfilmentCancelled;
    ORDER_EVENTS Event Order "order/events":
        OrderCreated
        OrderFulfilmentStarted
        OrderStepStarted
        OrderStepCompleted
        OrderStepOutcomeUnknown
        OrderStepCompensated
        OrderCompensationFailed
        OrderFalloutRaised
        OrderFalloutResolved
        OrderCompleted
        OrderCancellationRequested
        OrderCancelled;
    WORKFLOW_COMMANDS Command Workflow "workflow/commands":
        StartApproval
        CompleteApprovalStep
        EndApproval
        StartFulfilment
        CancelFulfilment
        RenderArtifact;
    WORKFLOW_EVENTS Event Workflow "workflow/events":
        ProcessStarted
        UserTaskCreated
        UserTaskCompleted
        UserTaskEscalated
        IncidentRaised
        IncidentResolved;
};
