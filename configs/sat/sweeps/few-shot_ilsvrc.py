# SAT, DeiT-S on ILSVRC with few training images a class and frozen parts, Table 8 and Fig. 8; the paper averages ten
# draws of the images. Epochs and batch are not published: the images are repeated to give about the iterations of the
# whole set.
base = 'sat_deit-s_ilsvrc'
common = {
    'train_dataloader.dataset': dict(
        _delete_=True, type='RepeatDataset', times=1, dataset='{{_base_.train_dataloader.dataset}}'),
}
grid = {
    ('train_dataloader.dataset.dataset.k_shot', 'train_dataloader.dataset.times'): {
        '1-shot': (1, 1281),
        '3-shot': (3, 427),
        '5-shot': (5, 256),
        '10-shot': (10, 128),
    },
    # What the rows are, and that (e) is inferred: freeze.py.
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
seeds = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
seed_keys = ['randomness.seed', 'train_dataloader.dataset.dataset.k_seed']
paper = {
    'sat_deit-s_ilsvrc_1-shot': {'loc/gt_known': 70.9},
    'sat_deit-s_ilsvrc_1-shot_freeze-b': {'loc/gt_known': 71.6},
    'sat_deit-s_ilsvrc_1-shot_freeze-c': {'loc/gt_known': 71.8},
    'sat_deit-s_ilsvrc_1-shot_freeze-d': {'loc/gt_known': 71.3},
    'sat_deit-s_ilsvrc_1-shot_freeze-e': {'loc/gt_known': 70.9},
    'sat_deit-s_ilsvrc_3-shot': {'loc/gt_known': 71.9},
    'sat_deit-s_ilsvrc_3-shot_freeze-b': {'loc/gt_known': 72.3},
    'sat_deit-s_ilsvrc_3-shot_freeze-c': {'loc/gt_known': 72.1},
    'sat_deit-s_ilsvrc_3-shot_freeze-d': {'loc/gt_known': 71.4},
    'sat_deit-s_ilsvrc_3-shot_freeze-e': {'loc/gt_known': 71.1},
    'sat_deit-s_ilsvrc_5-shot': {'loc/gt_known': 72.6},
    'sat_deit-s_ilsvrc_5-shot_freeze-b': {'loc/gt_known': 72.6},
    'sat_deit-s_ilsvrc_5-shot_freeze-c': {'loc/gt_known': 72.4},
    'sat_deit-s_ilsvrc_5-shot_freeze-d': {'loc/gt_known': 71.7},
    'sat_deit-s_ilsvrc_5-shot_freeze-e': {'loc/gt_known': 71.2},
    'sat_deit-s_ilsvrc_10-shot': {'loc/gt_known': 72.9},
    'sat_deit-s_ilsvrc_10-shot_freeze-b': {'loc/gt_known': 72.8},
    'sat_deit-s_ilsvrc_10-shot_freeze-c': {'loc/gt_known': 72.7},
    'sat_deit-s_ilsvrc_10-shot_freeze-d': {'loc/gt_known': 71.9},
    'sat_deit-s_ilsvrc_10-shot_freeze-e': {'loc/gt_known': 71.3},
}
figure = dict(x='train_dataloader.dataset.dataset.k_shot', y='loc/gt_known', x_label='training images a class')
