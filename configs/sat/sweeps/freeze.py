# SAT, DeiT-S trained on the whole set with frozen parts, Table 8, GT-known: (b) attention of blocks 0 to 8, 24 % of the
# parameters on CUB and 21 % on ILSVRC; (c) their MLPs, 48 and 42 %; (d) the blocks, 71 and 64 %; (e) 91 and 81 %. For
# (e) the paper lists position embedding, "projection", blocks 0 to 8 and the MLPs of the last three; its figures are
# met when every "proj" counts, the attentions' too (inferred).
bases = ['sat_deit-s_cub', 'sat_deit-s_ilsvrc']
grid = {
    'model.frozen': {
        '': None,
        'freeze-b': ['backbone.layers.[0-8].attn.*'],
        'freeze-c': ['backbone.layers.[0-8].ffn.*'],
        'freeze-d': ['backbone.layers.[0-8].*'],
        'freeze-e': [
            'backbone.pos_embed',
            'backbone.*proj*',
            'backbone.layers.[0-8].*',
            'backbone.layers.9.ffn.*',
            'backbone.layers.1[01].ffn.*',
        ],
    },
}
paper = {
    'sat_deit-s_cub': {'loc/gt_known': 98.45},
    'sat_deit-s_cub_freeze-b': {'loc/gt_known': 98.1},
    'sat_deit-s_cub_freeze-c': {'loc/gt_known': 98.0},
    'sat_deit-s_cub_freeze-d': {'loc/gt_known': 95.9},
    'sat_deit-s_cub_freeze-e': {'loc/gt_known': 93.4},
    'sat_deit-s_ilsvrc': {'loc/gt_known': 73.13},
    'sat_deit-s_ilsvrc_freeze-b': {'loc/gt_known': 73.1},
    'sat_deit-s_ilsvrc_freeze-c': {'loc/gt_known': 72.9},
    'sat_deit-s_ilsvrc_freeze-d': {'loc/gt_known': 72.2},
    'sat_deit-s_ilsvrc_freeze-e': {'loc/gt_known': 71.4},
}
