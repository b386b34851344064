# SAT, DeiT-S on CUB with few training images a class and frozen parts, Table 8 and Fig. 8; the paper averages ten draws
# of the images. Epochs and batch are not published: the images are repeated to give about the iterations of the whole
# set.
base = 'sat_deit-s_cub'
common = {
    'train_dataloader.dataset': dict(
        _delete_=True, type='RepeatDataset', times=1, dataset='{{_base_.train_dataloader.dataset}}'),
}
grid = {
    ('train_dataloader.dataset.dataset.k_shot', 'train_dataloader.dataset.times'): {
        '1-shot': (1, 30),
        '3-shot': (3, 10),
        '5-shot': (5, 6),
        '10-shot': (10, 3),
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
    'sat_deit-s_cub_1-shot': {'loc/gt_known': 91.3},
    'sat_deit-s_cub_1-shot_freeze-b': {'loc/gt_known': 93.5},
    'sat_deit-s_cub_1-shot_freeze-c': {'loc/gt_known': 96.4},
    'sat_deit-s_cub_1-shot_freeze-d': {'loc/gt_known': 93.8},
    'sat_deit-s_cub_1-shot_freeze-e': {'loc/gt_known': 92.1},
    'sat_deit-s_cub_3-shot': {'loc/gt_known': 95.1},
    'sat_deit-s_cub_3-shot_freeze-b': {'loc/gt_known': 95.9},
    'sat_deit-s_cub_3-shot_freeze-c': {'loc/gt_known': 96.7},
    'sat_deit-s_cub_3-shot_freeze-d': {'loc/gt_known': 94.6},
    'sat_deit-s_cub_3-shot_freeze-e': {'loc/gt_known': 92.5},
    'sat_deit-s_cub_5-shot': {'loc/gt_known': 96.1},
    'sat_deit-s_cub_5-shot_freeze-b': {'loc/gt_known': 96.8},
    'sat_deit-s_cub_5-shot_freeze-c': {'loc/gt_known': 97.0},
    'sat_deit-s_cub_5-shot_freeze-d': {'loc/gt_known': 94.9},
    'sat_deit-s_cub_5-shot_freeze-e': {'loc/gt_known': 92.8},
    'sat_deit-s_cub_10-shot': {'loc/gt_known': 97.3},
    'sat_deit-s_cub_10-shot_freeze-b': {'loc/gt_known': 97.5},
    'sat_deit-s_cub_10-shot_freeze-c': {'loc/gt_known': 97.4},
    'sat_deit-s_cub_10-shot_freeze-d': {'loc/gt_known': 95.2},
    'sat_deit-s_cub_10-shot_freeze-e': {'loc/gt_known': 93.1},
}
figure = dict(x='train_dataloader.dataset.dataset.k_shot', y='loc/gt_known', x_label='training images a class')
