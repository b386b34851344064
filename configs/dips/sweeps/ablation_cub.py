# DiPS, DINO ViT-S on CUB.
base = 'dips_dino-s_cub'
cells = {
    '': {},
    # Table 6: without the CRF loss.
    'no-crf': {'model.head.loss_crf': None},
    # The baseline: DINO's attention, here the mean of its heads, and the linear classifier (Table 4, which takes for
    # every image the map of the proposal that the classifier ranks first). stages.0.model.head.attention_map=1 to 4: a
    # head.
    'attention-only': {
        'stages': ['{{_base_.stages.0}}'],
        'stages.0.model': dict(head=dict(attention_map=0)),
    },
}
paper = {
    'dips_dino-s_cub': {'loc/max_box_acc_v2': 91.5},
    'dips_dino-s_cub_no-crf': {'loc/max_box_acc_v2': 89.2},
    'dips_dino-s_cub_attention-only': {'loc/max_box_acc_v2': 65.1},
}
