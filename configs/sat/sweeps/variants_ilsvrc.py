# SAT, DeiT-S on ILSVRC, one setting each.
base = 'sat_deit-s_ilsvrc'
cells = {
    '': {},
    # Baseline of Table 5: the map is the sigmoid of the class token's attention logits (mean over heads), with SAT's
    # losses, but without spatial token and gated attention. Details inferred: there is no code for it.
    'attention-map': {'model.backbone.query': 'class'},
    # The area of the batch of all ranks, as the paper has it ("within a batch").
    'area-sync': {'model.head.map_losses.loss_area.sync': True},
}
paper = {
    'sat_deit-s_ilsvrc': {'cls/top1': 78.41, 'cls/top5': 94.46, 'loc/top1': 60.15, 'loc/top5': 70.52},
    'sat_deit-s_ilsvrc_attention-map': {'cls/top1': 75.89, 'cls/top5': 92.77, 'loc/top1': 55.98, 'loc/gt_known': 69.74},
}
