# The methods with a config for NEU-DET, steel surface defects, one small vision transformer from scratch, three seeds.
bases = [
    'ts-cam_small-vit_neu-det',
    'catr_small-vit_neu-det',
    'cdtr_small-vit_neu-det_noclip',
]
seeds = [0, 1, 2]
metrics = ['cls/top1', 'loc/gt_known', 'loc/top1', 'loc/max_box_acc', 'loc/max_box_acc_v2']
page = dict(
    title='NEU-DET',
    text='Six kinds of defects on steel, 64x64, 240 training images a class; figures on 60 more of each, with several boxes '
    'an image. GT-known and Top-1 Loc at the threshold of each config, MaxBoxAcc and MaxBoxAccV2 at the best one of these '
    'images.',
    columns={
        'Cls@1': 'cls/top1',
        'GT-known': 'loc/gt_known',
        'Top-1 Loc': 'loc/top1',
        'MaxBoxAcc': 'loc/max_box_acc',
        'MaxBoxAccV2': 'loc/max_box_acc_v2',
    },
    against='ts-cam_small-vit_neu-det',
    metric='LocAccuracy',
    curves=('', 'MaxBoxAcc'))
